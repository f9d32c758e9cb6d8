"""Models of true size: in comes a configuration, out go times, memory and sizes."""
