"""Surfaces of the libraries for C and JavaScript, and of the page's server."""
