"""The square that the model sees of a view, and its grid of image tokens."""

#: Side of the model's input, and of a patch, in pixels.
INPUT_SIDE, PATCH = 120, 10
#: Patches in a row, and in a column.
GRID = INPUT_SIDE // PATCH
#: Image tokens of one image.
IMAGE_TOKENS = GRID * GRID
