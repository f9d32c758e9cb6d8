"""The way of a finished folder to its place, at which the old or the new is at every moment.

In: a place, and whatever an export writes into the folder that it claims. Out: the place with that
folder, or as it was. ``claim`` keeps other exports away and publishes, ``place`` refuses what
cannot be replaced, ``folders`` and ``mounts`` are what both need of the file system.
:mod:`carve_models.aside` is the part that readers know too.
"""
