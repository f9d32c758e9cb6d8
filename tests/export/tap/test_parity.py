"""Rows of tapped graphs against PyTorch's eager attention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import LlamaForCausalLM

from carve_export.tap import TapOptions, tap_decoder
from carve_models import names
from tests.comparing import assert_close
from tests.export.tap.decoders import run, step
from tests.export.tap.make_graphs import CHECKPOINT, GRAPHS

EXACT = ["genai-gqa", "genai-mha", "optimum"]
PROMPT, NEXT = [5, 9, 33, 2, 17, 40, 8], [21]
LAYERS = 2


@pytest.fixture(scope="module")
def eager() -> LlamaForCausalLM:
    return LlamaForCausalLM.from_pretrained(CHECKPOINT, attn_implementation="eager")


def expected_rows(model: LlamaForCausalLM, ids: list[int]) -> NDArray[Any]:
    with torch.no_grad():
        attentions = model(torch.tensor([ids]), output_attentions=True).attentions
    rows = [attention[:, :, -1].mean(dim=1) for attention in attentions]
    return np.asarray(torch.stack(rows, dim=1))


@pytest.mark.parametrize("name", EXACT)
def test_rows(name: str, eager: LlamaForCausalLM, tmp_path: Path) -> None:
    decoder, out = GRAPHS / name / "model.onnx", tmp_path / "model.onnx"
    report = tap_decoder(decoder, out, TapOptions())
    assert report.layers == (0, 1)
    assert report.check is not None
    assert report.check.results == "equal to the bit"
    prompt = step(PROMPT, 0, None, LAYERS)
    plain, tapped = run(decoder, prompt), run(out, prompt)
    inputs = [step(NEXT, len(PROMPT), cache, LAYERS) for cache in (plain, tapped)]
    later = run(decoder, inputs[0]), run(out, inputs[1])
    for before, after in ((plain, tapped), later):
        for key, array in before.items():
            assert_close(after[key], array, rtol=0, atol=1e-6 * np.abs(array).max())
    for results, ids in ((tapped, PROMPT), (later[1], PROMPT + NEXT)):
        rows = results[names.LAST_ROW]
        assert rows.shape == (1, LAYERS, len(ids))
        assert rows.dtype == np.float32
        assert_close(rows, expected_rows(eager, ids), rtol=0, atol=1e-5)
    assert rows.max() < 0.99  # attention that is all on one token would hide a wrong scale


@pytest.mark.parametrize("name", ["genai-mha", "optimum"])
def test_padding_in_front(name: str, eager: LlamaForCausalLM, tmp_path: Path) -> None:
    out, padding = tmp_path / "model.onnx", 3
    tap_decoder(GRAPHS / name / "model.onnx", out, TapOptions())
    inputs = step(PROMPT, 0, None, LAYERS)
    inputs["attention_mask"][:, :padding] = 0
    rows = run(out, inputs)[names.LAST_ROW]
    assert rows[:, :, :padding].max() < 1e-6
    # Distances alone count in rotary embeddings: the same tokens without padding.
    expected = expected_rows(eager, PROMPT[padding:])
    assert_close(rows[:, :, padding:], expected, rtol=0, atol=1e-5)


def test_four_bits(tmp_path: Path) -> None:
    report = tap_decoder(
        GRAPHS / "genai-int4" / "model.onnx", tmp_path / "model.onnx", TapOptions()
    )
    assert report.check is not None
    assert report.check.row_error is not None
    assert report.check.row_error <= 1e-6


@pytest.mark.parametrize("name", EXACT)
def test_some_layers(name: str, eager: LlamaForCausalLM, tmp_path: Path) -> None:
    out = tmp_path / "model.onnx"
    report = tap_decoder(GRAPHS / name / "model.onnx", out, TapOptions(layers=(1,)))
    assert (report.layers, report.depth) == ((1,), LAYERS)
    rows = run(out, step(PROMPT, 0, None, LAYERS))[names.LAST_ROW]
    assert_close(rows, expected_rows(eager, PROMPT)[:, 1:], rtol=0, atol=1e-5)
