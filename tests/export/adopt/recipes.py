"""The models in ``folders/``: their weights follow from a seed, as PyTorch's model's do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support import CASES

FOLDERS = Path(__file__).parent / "folders"
_SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
_VISION = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}


def _smaller(name: str) -> tuple[str, dict[str, Any]]:
    """Return the family and the recipe of a case, made smaller, whose answers end at one id."""
    case = CASES[name]
    text, vision = case.recipe["text"] | _SIZES, case.recipe["vision"] | _VISION
    return case.family, case.recipe | {"text": text, "vision": vision, "eos_token_ids": 2}


#: Family and recipe of each folder.
RECIPES = {"smolvlm": _smaller("smolvlm"), "llava": _smaller("llava-clip-gqa")}
