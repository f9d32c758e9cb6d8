"""Pocket from nothing: in come seeds, out go the default bundle's checkpoint and settings."""
