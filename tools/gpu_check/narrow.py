"""Models as small as a test wants them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tools.shared.models.random_checkpoint import RandomModel

#: Sizes of narrow models: they run in seconds on a CPU. Each kind of model has some of them.
_NARROW_TEXT = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 4096,
}
_NARROW_VISION = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_heads": 2,
    "out_hidden_size": 256,
}


def narrow(model: RandomModel) -> RandomModel:
    """Return the same kind of model, narrow."""

    def config(token_id: Callable[[str], int]) -> Any:
        wide = model.config(token_id)
        for part, sizes in ((wide.text_config, _NARROW_TEXT), (wide.vision_config, _NARROW_VISION)):
            for name, size in sizes.items():
                if hasattr(part, name):
                    setattr(part, name, size)
        return wide

    return replace(model, config=config)
