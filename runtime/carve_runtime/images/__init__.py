"""From an image of any kind to what the vision encoder takes.

In: a path, encoded bytes, a Pillow image or an array. Out: the one RGB array that boxes and masks
refer to, and a :class:`~carve_runtime.images.model_input.ModelInput` made of it by the bundle's
image rule; one module for each kind of rule.
"""
