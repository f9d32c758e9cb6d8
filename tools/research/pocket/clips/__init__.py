"""Pocket taught to see clips: in come its checkpoint and seeds, out go a model and a table."""
