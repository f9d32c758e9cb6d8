"""What is fed to what, one module for each surface; each has ``prepare``."""
