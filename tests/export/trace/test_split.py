"""The halves of the default bundle's decoder: its weights are in one file only."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from carve_export.trace.split import split_decoder
from carve_models import names
from carve_runtime.bundle import open_bundle
from tests.comparing import assert_close
from tests.support import POCKET

HALVES = (names.DECODER_LOWER, names.DECODER_UPPER)
SMALL = 1024  # bytes; below, a tensor stays in its graph


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the whole decoder and halves that were cut from it just now."""
    folder = tmp_path_factory.mktemp("halves")
    (folder / names.graph_file(names.DECODER)).parent.mkdir()
    shutil.copy(POCKET / names.graph_file(names.DECODER), folder / "onnx")
    split_decoder(folder, open_bundle(POCKET).manifest.decoder, "float32")
    return folder


def load(folder: Path, name: str, *, weights: bool = True) -> onnx.ModelProto:
    return onnx.load(folder / names.graph_file(name), load_external_data=weights)


@pytest.mark.parametrize("half", HALVES)
def test_the_committed_halves_are_those_of_the_code(half: str, folder: Path) -> None:
    """If not, remake the default bundle as CONTRIBUTING.md says."""
    assert load(folder, half, weights=False) == load(POCKET, half, weights=False)


def test_halves_point_at_the_weights_of_the_whole(folder: Path) -> None:
    whole = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in load(folder, names.DECODER).graph.initializer
    }
    used: set[str] = set()
    for half in HALVES:
        bare = load(folder, half, weights=False).graph.initializer
        assert all(len(tensor.raw_data) < SMALL for tensor in bare)
        entries = [entry for tensor in bare for entry in tensor.external_data]
        places = {entry.value for entry in entries if entry.key == "location"}
        assert places == {"decoder_model_merged.onnx"}
        for tensor in load(folder, half).graph.initializer:
            np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), whole[tensor.name])
            used.add(tensor.name)
    assert used == set(whole)


@pytest.mark.parametrize("past", [0, 9])
def test_one_half_after_the_other_is_the_whole(past: int, folder: Path) -> None:
    spec = open_bundle(POCKET).manifest.decoder
    random, new = np.random.default_rng(0), 12
    shape = (1, spec.key_value_heads, past, spec.head_dim)
    given = {
        names.INPUTS_EMBEDS: random.standard_normal((1, new, spec.hidden_size), np.float32),
        names.ATTENTION_MASK: np.ones((1, past + new), np.int64),
        names.POSITION_IDS: np.arange(past, past + new)[None],
    }
    for name in names.past_names(range(spec.layers)):
        given[name] = random.standard_normal(shape, np.float32)
    whole, halves = dict(given), dict(given)
    for part, values in ((spec.whole, whole), *((half, halves) for half in spec.parts)):
        session = onnxruntime.InferenceSession(folder / names.graph_file(part.name))
        inputs = {tensor.name: values[tensor.name] for tensor in session.get_inputs()}
        outputs = [tensor.name for tensor in session.get_outputs()]
        rows = values.pop(names.LAST_ROW, None)
        values |= dict(zip(outputs, session.run(outputs, inputs), strict=True))
        if rows is not None:
            values[names.LAST_ROW] = np.concatenate([rows, values[names.LAST_ROW]], axis=1)
    for name in (names.LOGITS, names.LAST_ROW, *names.present_names(range(spec.layers))):
        assert_close(halves[name], whole[name])
