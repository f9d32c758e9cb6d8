"""Lower the precision of a bundle, component by component.

In: a bundle in float32 or float16, and questions about images. Out: a bundle in lower precision,
and what it loses on these questions.

| precision | weights and products |
| --- | --- |
| ``fp16``, ``bf16`` | see :mod:`carve_export.precision.half` |
| ``int8``, ``int8-static`` | see :mod:`carve_export.precision.int8` |
| ``int4``, ``int4-only``, ``int4-nearest``, ``int8-nearest`` | see
  :mod:`carve_export.precision.int4`; the only ones for a bundle in float16 |

The decoder's last product, ``lm_head``, and the token embedding are components of their own: small
models lose most in them. The tap is float32 in every precision.
"""

from carve_export.precision.choice import (
    Component,
    Precision,
    parse_precisions,
    require_calibration,
    require_lowerable,
)
from carve_export.precision.lower import body_and_head, lower, lower_decoder

__all__ = [
    "Component",
    "Precision",
    "body_and_head",
    "lower",
    "lower_decoder",
    "parse_precisions",
    "require_calibration",
    "require_lowerable",
]
