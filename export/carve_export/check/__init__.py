"""Compare a bundle with the checkpoint that it was made from.

In: both. Out: the largest differences, or an error if they are beyond the tolerance.
"""

#: Largest allowed difference from PyTorch, relative to the output's scale, unless another is given.
TOLERANCE = 1e-5
