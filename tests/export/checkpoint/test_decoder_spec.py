"""What the exporter reads off a text model: default layers, and how far it attends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from carve_export.checkpoint.load import decoder_spec, load_checkpoint
from carve_models.families.family import LayerRule
from tests.checkpoints import make_llava
from tests.support import CASES

RULE = LayerRule(first=20, last=25, depth=32)


@pytest.mark.parametrize(
    ("depth", "layers"),
    [
        (32, range(20, 26)),  # as published
        (40, range(20, 26)),  # deeper: the same layers
        (26, range(20, 26)),  # just deep enough
        (24, range(15, 19)),  # 20 / 32 to 26 / 32 of the depth
        (16, range(10, 13)),
        (2, range(1, 2)),  # never none
        (1, range(1)),
    ],
)
def test_default_layers(depth: int, layers: range) -> None:
    assert RULE.layers(depth) == tuple(layers)


@pytest.mark.parametrize(
    ("changes", "length"),
    [
        ({}, 512),
        ({"sliding_window": 100}, 100),
        ({"sliding_window": 1000}, 512),
    ],
)
def test_a_sliding_window_ends_the_context(
    changes: dict[str, Any], length: int, tmp_path: Path
) -> None:
    recipe = CASES["llava-multi-layer-features"].recipe
    text = recipe["text"] | {"num_hidden_layers": 1} | changes
    checkpoint = make_llava(recipe | {"text": text}, tmp_path / "checkpoint")
    spec = decoder_spec(load_checkpoint(str(checkpoint)), layers=None)
    assert spec.context_length == length
    assert spec.tapped_layers == (0,)
