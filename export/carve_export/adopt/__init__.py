"""Make a bundle of a folder of transformers.js, whose graphs others exported.

In: configurations, a tokenizer and three graphs. Out: a bundle with the same graphs, tapped, and
changed at their inputs and outputs alone.
"""

from carve_export.adopt.adopt import AdoptOptions, AdoptReport, adopt_folder

__all__ = ["AdoptOptions", "AdoptReport", "adopt_folder"]
