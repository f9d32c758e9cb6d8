"""Steps and positions against eager attention in PyTorch, for every family."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from carve_models.families.family import PromptLayout
from carve_models.interface import FEATURE
from carve_runtime import Carve
from tests.comparing import assert_close
from tests.conftest import CheckpointOf, ExportOf
from tests.hugging_face import with_token
from tests.reference import Reference
from tests.support import CASES, PHOTOS

STEPS = 4
CLOSE = 1e-5
QUESTION = "Where is the blue circle?"
#: A case of each family.
NAMES = {case.family: name for name, case in reversed(CASES.items())}.values()


@torch.no_grad()
def eager(reference: Reference, image: Image.Image) -> tuple[Any, list[int], list[Any]]:
    """Return ids of the prompt, the tokens decided, and (L, T) of each step."""
    inputs = reference.views.inputs([image], f"{QUESTION} {reference.suffix}")
    prompt, decided, rows = inputs["input_ids"][0].numpy(), [], []
    for _ in range(STEPS):
        output = reference.model(**inputs, use_cache=False, output_attentions=True)
        rows.append(np.stack([layer[0, :, -1].mean(dim=0).numpy() for layer in output.attentions]))
        decided.append(int(output.logits[0, -1].argmax()))
        if decided[-1] in reference.stop:
            break
        inputs = with_token(inputs, decided[-1])
    return prompt, decided, rows


@pytest.mark.parametrize("name", NAMES)
def test_attention_is_that_of_pytorch(
    name: str, checkpoint_of: CheckpointOf, export_of: ExportOf
) -> None:
    reference = Reference(checkpoint_of(name), PromptLayout().suffix, CASES[name].family)
    path = PHOTOS / "landscape.jpg"
    prompt, decided, expected = eager(reference, Image.open(path).convert("RGB"))
    vlm = Carve.load(export_of(name, "ort").folder)
    attention = vlm.attend(path, QUESTION, generate=STEPS)

    is_image = prompt == reference.model.config.image_token_id
    asked = attention.ids[: len(prompt)]
    np.testing.assert_array_equal(asked == FEATURE, is_image)
    np.testing.assert_array_equal(asked[~is_image], prompt[~is_image])
    assert attention.ids[len(prompt) :].tolist() == decided[:-1]
    assert attention.steps == len(expected)
    for step, rows in enumerate(expected):
        for layer in attention.layers:
            assert_close(attention.row(step, layer), rows[layer], rtol=0, atol=CLOSE)
        assert_close(attention.row(step), rows[list(attention.layers)].mean(axis=0), atol=CLOSE)
