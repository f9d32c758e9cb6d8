"""Random-weight checkpoints in the Hugging Face format, built from the recipes in cases/."""

from __future__ import annotations

from tests.checkpoints.llava import make_llava
from tests.checkpoints.qwen import make_qwen2_5_vl, make_qwen3_vl
from tests.checkpoints.tiled import make_idefics3, make_internvl

MAKERS = {
    "llava": make_llava,
    "qwen2_5_vl": make_qwen2_5_vl,
    "qwen3_vl": make_qwen3_vl,
    "idefics3": make_idefics3,
    "internvl": make_internvl,
}

__all__ = ["MAKERS", "make_llava"]
