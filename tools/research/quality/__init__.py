"""What CARVE does on pocket's questions: in comes a bundle, out go tables and plots."""
