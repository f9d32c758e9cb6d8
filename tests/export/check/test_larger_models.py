"""Models that round more than the cases: their exports pass without an option."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from carve_export import ExportOptions, export_bundle
from tests.checkpoints import MAKERS
from tests.support import CASES

#: Family, hidden size, layers. All differ from PyTorch by more than 1e-5 of the largest value.
SHAPES = [("qwen2_5_vl", 512, 8), ("qwen3_vl", 512, 8)]
HEAD = 64


def larger(family: str, hidden: int, layers: int) -> dict[str, Any]:
    """Return a case's recipe with a text model and a vision encoder of that size."""
    recipe = CASES[family].recipe
    heads = hidden // HEAD
    vision = {"depth": layers, "hidden_size": hidden, "intermediate_size": 2 * hidden}
    vision |= {"num_heads": heads, "out_hidden_size": hidden}
    text = {"num_hidden_layers": layers, "hidden_size": hidden, "intermediate_size": 3 * hidden}
    text |= {"num_attention_heads": heads, "num_key_value_heads": heads // 2, "head_dim": HEAD}
    rotary = recipe["text"]["rope_parameters"] | {"mrope_section": [8, 12, 12]}
    return recipe | {
        "vision": recipe["vision"] | vision,
        "text": recipe["text"] | text | {"rope_parameters": rotary},
    }


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("family", "hidden", "layers"), SHAPES)
def test_an_export_passes_without_an_option(
    family: str, hidden: int, layers: int, tmp_path: Path
) -> None:
    checkpoint = MAKERS[family](larger(family, hidden, layers), tmp_path / "checkpoint")
    report = export_bundle(str(checkpoint), tmp_path / "bundle", ExportOptions(layers=(1, 2)))
    logits = next(row for row in report.comparisons if row.name == "logits, one shot")
    assert logits.rounding > 1e-5
