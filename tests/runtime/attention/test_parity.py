"""Steps, layers, heads and positions against eager attention in PyTorch, for every family."""

from __future__ import annotations

from functools import cache
from itertools import cycle
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from carve_models.families.family import PromptLayout
from carve_models.interface import FEATURE
from carve_models.manifest import Profile
from carve_runtime import Attention, Carve
from tests.comparing import assert_close
from tests.conftest import CheckpointOf, ExportOf, HeadsOf
from tests.hugging_face import with_token
from tests.reference import Reference
from tests.support import CASES, PHOTOS, PROFILES

STEPS = 4
CLOSE = 1e-5
IMAGE = PHOTOS / "landscape.jpg"
QUESTION = "Where is the blue circle?"
#: A case of each family.
NAMES = {case.family: name for name, case in reversed(CASES.items())}.values()


@cache
@torch.no_grad()
def eager(name: str, checkpoint_of: CheckpointOf) -> tuple[Any, Any, list[int], list[Any]]:
    """Return which of the prompt's ids are image tokens, ids, tokens decided, (L, H, T) of each."""
    reference = Reference(checkpoint_of(name), PromptLayout().suffix, CASES[name].family)
    image = Image.open(IMAGE).convert("RGB")
    inputs = reference.views.inputs([image], f"{QUESTION} {reference.suffix}")
    prompt, decided, rows = inputs["input_ids"][0].numpy(), [], []
    for _ in range(STEPS):
        output = reference.model(**inputs, use_cache=False, output_attentions=True)
        rows.append(np.stack([layer[0, :, -1].numpy() for layer in output.attentions]))
        decided.append(int(output.logits[0, -1].argmax()))
        if decided[-1] in reference.stop:
            break
        inputs = with_token(inputs, decided[-1])
    return prompt == reference.model.config.image_token_id, prompt, decided, rows


@pytest.mark.parametrize("name", NAMES)
def test_attention_is_that_of_pytorch(
    name: str, checkpoint_of: CheckpointOf, export_of: ExportOf
) -> None:
    is_image, prompt, decided, expected = eager(name, checkpoint_of)
    vlm = Carve.load(export_of(name, "ort").folder)
    attention = vlm.attend(IMAGE, QUESTION, generate=STEPS)

    asked = attention.ids[: len(prompt)]
    np.testing.assert_array_equal(asked == FEATURE, is_image)
    np.testing.assert_array_equal(asked[~is_image], prompt[~is_image])
    assert attention.ids[len(prompt) :].tolist() == decided[:-1]
    assert attention.heads is None
    compare(attention, [rows.mean(axis=1) for rows in expected])


@pytest.mark.parametrize(("name", "profile"), list(zip(NAMES, cycle(PROFILES))))
def test_heads_are_those_of_pytorch(
    name: str, profile: Profile, checkpoint_of: CheckpointOf, heads_of: HeadsOf
) -> None:
    *_, expected = eager(name, checkpoint_of)
    attention = Carve.load(heads_of(name, profile)).attend(IMAGE, QUESTION, generate=STEPS)
    assert attention.heads == expected[0].shape[1]
    for step, rows in enumerate(expected):
        for layer in attention.layers:
            for head, row in enumerate(rows[layer]):
                assert_close(attention.row(step, layer, head), row, rtol=0, atol=CLOSE)
    compare(attention, [rows.mean(axis=1) for rows in expected])


def compare(attention: Attention, expected: list[Any]) -> None:
    """Compare the mean over heads, of each layer and of all."""
    assert attention.steps == len(expected)
    for step, rows in enumerate(expected):
        for layer in attention.layers:
            assert_close(attention.row(step, layer), rows[layer], rtol=0, atol=CLOSE)
        assert_close(attention.row(step), rows[list(attention.layers)].mean(axis=0), atol=CLOSE)
