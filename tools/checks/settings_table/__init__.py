"""The tables of settings, names and providers that C and JavaScript copy from Python."""
