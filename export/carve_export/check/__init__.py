"""Compare a bundle with the checkpoint that it was made from.

In: both. Out: the largest differences, or an error if they are beyond the tolerance.
"""
