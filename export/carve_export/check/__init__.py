"""Compare a bundle with the checkpoint that it was made from.

In: both. Out: how far the bundle and PyTorch each are from float64, or an error if the bundle is
much farther.
"""

from carve_models.graph_spec import Dtype

#: How many times as far from float64 as PyTorch in a bundle's own type its outputs may be, unless
#: another number is given. In half precision nearly all of the error comes from rounding between
#: operators, which both share. In float32 it comes from the order of sums, which differs from one
#: library and processor to another: sound exports reach twice PyTorch's error where few positions
#: are compared, and a wrong layer, mask or position thousands of times.
MARGINS: dict[Dtype, float] = {"float32": 4.0, "float16": 1.2, "bfloat16": 1.2}
