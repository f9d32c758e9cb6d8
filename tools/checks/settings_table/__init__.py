"""The tables of settings and names that the C and JavaScript libraries copy from Python."""
