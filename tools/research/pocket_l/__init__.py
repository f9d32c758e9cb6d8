"""Pocket-L: in come pocket's eyes and SmolLM2, out go a checkpoint and where it looks."""
