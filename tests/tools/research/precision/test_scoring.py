"""The loss of a bundle's own graphs is PyTorch's, and their logits are the runtime's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy
from transformers import LlavaForConditionalGeneration

from carve_export.precision.quality import LowerOptions, lower_bundle
from carve_models import names
from carve_models.errors import ExportError
from carve_runtime.bundle import Bundle, open_bundle
from carve_runtime.decoder.model import Model
from carve_runtime.usage import Counts
from tests.comparing import assert_close
from tests.support import POCKET, PROFILES, SCENES
from tools.research.precision.scoring import Predictor, Score, cut_at_last_position, score, windows

WINDOW = 40


@pytest.fixture(scope="module", params=PROFILES)
def bundle(request: pytest.FixtureRequest) -> Bundle:
    profile = request.param
    folder = POCKET if profile == "ort" else request.getfixturevalue("pocket_portable")
    return open_bundle(folder, verify=False)


@pytest.fixture(scope="module")
def ids() -> NDArray[np.int64]:
    vocabulary = open_bundle(POCKET, verify=False).manifest.decoder.image_token_id
    return np.random.default_rng(0).integers(0, vocabulary, 2 * WINDOW + 11)


def test_losses_are_those_of_pytorch(bundle: Bundle, ids: NDArray[np.int64]) -> None:
    model = LlavaForConditionalGeneration.from_pretrained(
        POCKET / "checkpoint", dtype=torch.float32
    ).eval()
    losses, best = [], []
    for part in torch.from_numpy(ids).split(WINDOW):
        with torch.inference_mode():
            logits = model(input_ids=part[None]).logits[0, :-1]
        losses.append(cross_entropy(logits, part[1:], reduction="none"))
        best.append(logits.argmax(dim=-1))
    actual = score(bundle, ids, WINDOW)
    expected = torch.cat(losses).numpy()
    assert_close(actual.losses, expected, rtol=1e-4, atol=1e-4)
    assert actual.perplexity == pytest.approx(np.exp(expected.mean()), rel=1e-4)
    assert (actual.best == torch.cat(best).numpy()).all()


@pytest.mark.parametrize("precision", ["fp16", "int8", "int4"])
def test_a_lowered_decoder_is_cut_where_it_chooses(
    precision: str, ids: NDArray[np.int64], tmp_path: Path
) -> None:
    """Every position's logits are what the runtime returns when the text ends there."""
    (entry, *_) = json.loads((SCENES / "questions.json").read_text())
    calibration = tmp_path / "one.json"
    calibration.write_text(json.dumps([{**entry, "image": str(SCENES / entry["image"])}]))
    options = LowerOptions(precisions=(precision, f"lm_head={precision}"), calibration=calibration)
    lower_bundle(POCKET, tmp_path / "out", options)
    lowered = open_bundle(tmp_path / "out")
    *_, last = Predictor(lowered).logits(ids)
    model = Model(lowered)
    step = model.decoder.step(model.embed([ids], []), model.decoder.empty(len(ids)), Counts())
    assert_close(last, step.logits, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(last.argmax(), step.logits.argmax())


def test_agreement() -> None:
    left, right = (Score(np.zeros(4), np.array(best)) for best in ([1, 2, 3, 4], [1, 2, 0, 4]))
    assert (left.agreement(right), left.agreement(left)) == (0.75, 1)
    assert left.perplexity == 1


@pytest.mark.parametrize(("length", "lengths"), [(8, [4, 4]), (9, [4, 4]), (10, [4, 4, 2])])
def test_no_window_is_a_single_token(length: int, lengths: list[int]) -> None:
    parts = list(windows(np.arange(length), 4))
    assert [len(part) for part in parts] == lengths
    assert (np.concatenate(parts) == np.arange(sum(lengths))).all()


def test_a_graph_that_chooses_no_position(tmp_path: Path) -> None:
    cut_at_last_position(POCKET / names.graph_file(names.DECODER), tmp_path)
    again = tmp_path / "again"
    again.mkdir()
    with pytest.raises(ExportError, match="does not choose the last position"):
        cut_at_last_position(tmp_path / "head.onnx", again)
