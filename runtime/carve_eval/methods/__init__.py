"""Ways to look closer before a question is answered: CARVE, and what it is compared with.

In: a picture and a question. Out: the plain answer, the answer after a closer look, and where that
look went. The baselines read the same attention, crop from the same pixels and ask the same
prompts as CARVE; they differ in how they choose the crop.
"""

from __future__ import annotations

from carve_eval.methods.blind import Centre, Random
from carve_eval.methods.carved import Carved
from carve_eval.methods.method import Method
from carve_eval.methods.pointed import Pointed

#: The name of CARVE's own.
REGIONS = "regions"
#: By the name that ``--setting "crop=NAME"`` gives them.
CROPS: dict[str, Method] = {
    REGIONS: Carved(),
    "square": Pointed(),
    "random": Random(),
    "centre": Centre(),
}

__all__ = ["CROPS", "REGIONS", "Method"]
