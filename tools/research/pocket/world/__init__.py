"""Pocket's world: in come splits and seeds, out go pictures, labels, and questions to ask."""
