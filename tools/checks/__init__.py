"""Checks of the repository: in come its files, out goes what is stale or missing."""
