"""Recorded inputs: real runs, which a session of its own repeats."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from carve_export.precision.calibration import Feeds, read_entries, record
from carve_models import names
from carve_models.errors import SettingsError
from carve_runtime import Carve
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import open_bundle
from tests.conftest import ExportOf
from tests.support import POCKET, SCENES

ENTRIES = read_entries(SCENES / "questions.json")[:4]
EQUAL = 1e-5
#: Runs of every graph for the four questions are fewer.
ALL = 1000


@pytest.fixture(scope="module")
def recorded() -> dict[str, Feeds]:
    return record(open_bundle(POCKET), ENTRIES, SCENES, ALL)


def test_every_run_is_recorded(recorded: dict[str, Feeds], pocket: Carve) -> None:
    bundle, runs = open_bundle(POCKET), Counter[str]()
    vlm = Carve(bundle, BackendSettings(on_run=lambda name, feeds: runs.update([name])))
    for entry in ENTRIES:
        watched = vlm.ask(SCENES / entry.image, entry.question)
        assert watched.answer == pocket.ask(SCENES / entry.image, entry.question).answer
    undivided = {names.VISION_ENCODER, names.EMBED_TOKENS, names.DECODER}
    assert set(recorded) == undivided
    assert len(recorded[names.VISION_ENCODER]) == runs[names.VISION_ENCODER]
    assert len(recorded[names.EMBED_TOKENS]) == runs[names.EMBED_TOKENS]
    assert len(recorded[names.DECODER]) == runs[names.DECODER_LOWER]


def test_runs_can_be_repeated(recorded: dict[str, Feeds]) -> None:
    """The keys that a run was fed with are those that an earlier run computed."""
    model = ort.InferenceSession(POCKET / names.graph_file(names.DECODER))
    outputs = [output.name for output in model.get_outputs()]
    key = names.past_names([0])[0]
    computed: list[np.ndarray[Any, Any]] = []
    for feeds in recorded[names.DECODER]:
        past, mask = feeds[key], feeds[names.ATTENTION_MASK]
        new = feeds[names.INPUTS_EMBEDS].shape[1]
        assert mask.shape[1] == past.shape[2] + new
        assert mask.all()
        if past.shape[2]:
            assert any(_holds(present, past) for present in computed)
        results: Mapping[str, Any] = dict(zip(outputs, model.run(None, dict(feeds)), strict=True))
        computed.append(results[names.present_names([0])[0]])
        assert np.isfinite(results[names.LOGITS]).all()


def _holds(present: np.ndarray[Any, Any], past: np.ndarray[Any, Any]) -> bool:
    length = past.shape[2]
    return present.shape[2] >= length and np.allclose(present[:, :, :length], past, atol=EQUAL)


def test_an_even_sample_is_kept(recorded: dict[str, Feeds]) -> None:
    runs = len(ENTRIES)
    sample = record(open_bundle(POCKET), ENTRIES, SCENES, runs)
    assert [len(feeds) for feeds in sample.values()] == [runs] * len(sample)
    places = [_place(feeds, recorded[names.EMBED_TOKENS]) for feeds in sample[names.EMBED_TOKENS]]
    assert len(set(places)) == runs
    assert max(places) >= runs  # not the first ones alone


def test_runs_fit_into_the_limit(recorded: dict[str, Feeds]) -> None:
    def size(feeds: Feeds) -> int:
        return sum(array.nbytes for run in feeds for array in run.values())

    max_bytes = size(recorded[names.DECODER]) // 3
    sample = record(open_bundle(POCKET), ENTRIES, SCENES, ALL, max_bytes)
    assert 1 < len(sample[names.DECODER]) < len(recorded[names.DECODER])
    assert all(size(feeds) <= max_bytes for feeds in sample.values())
    single = record(open_bundle(POCKET), ENTRIES, SCENES, ALL, max_bytes=1)
    assert [len(feeds) for feeds in single.values()] == [1] * len(single)


def _place(feeds: Mapping[str, Any], all_feeds: Feeds) -> int:
    ids = feeds[names.INPUT_IDS].tolist()
    recorded = [run[names.INPUT_IDS].tolist() for run in all_feeds]
    return recorded.index(ids)


def test_a_family_with_more_inputs(export_of: ExportOf) -> None:
    """Every input of every graph is there, deep features and positions too."""
    bundle = open_bundle(export_of("qwen3_vl", "ort").folder)
    for name, feeds in record(bundle, ENTRIES[:1], SCENES).items():
        expected = {tensor.name: tensor.dtype for tensor in bundle.manifest.graphs[name].inputs}
        for run in feeds:
            assert {key: str(array.dtype) for key, array in run.items()} == expected


@pytest.mark.parametrize("text", ["{", "[]", '[{"image": 1}]'])
def test_a_malformed_calibration_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "questions.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"questions\.json (is not a list|has no question)"):
        read_entries(path)


@pytest.mark.parametrize(
    ("image", "question", "message"),
    [
        (
            "nope.jpg",
            "What is it?",
            r"asks about 'nope\.jpg' \(entry 1\), which does not exist",
        ),
        ("scene-00.jpg", " ", r"has an empty question \(entry 1\)\. Write one"),
    ],
)
def test_questions_that_cannot_be_asked(
    image: str, question: str, message: str, tmp_path: Path
) -> None:
    good = {"image": str(SCENES / "scene-00.jpg"), "question": "What is it?"}
    bad = {"image": str(SCENES / image) if (SCENES / image).exists() else image}
    path = tmp_path / "questions.json"
    path.write_text(json.dumps([good, {**bad, "question": question}]))
    with pytest.raises(SettingsError, match=message):
        read_entries(path)


def test_a_missing_calibration_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "questions.json"):
        with pytest.raises(SettingsError, match=r"cannot be read \(.*\)\. Give a file with"):
            read_entries(path)
