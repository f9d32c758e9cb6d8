"""What is checked, one module each: a bench in, tables out."""
