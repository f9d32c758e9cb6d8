"""The model and its five stages: in come rendered views, out go trained weights."""
