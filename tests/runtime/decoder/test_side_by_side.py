"""Two passes at once are the same two passes: ids, attention, and the order of what is heard."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from carve_models.errors import PromptError
from carve_runtime import Carve, CarveResult, Token
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import open_bundle
from carve_runtime.decoder.cache import Prefix
from carve_runtime.decoder.decoder import Decoder
from carve_runtime.prompt.chunk import PromptChunk
from carve_runtime.usage import Counts
from tests.backends import take_the_cpu_for_a_device
from tests.comparing import assert_close
from tests.conftest import ExportOf
from tests.decoding import assert_equal, embeddings, run_step
from tests.support import PHOTOS, POCKET, SCENES

ONE_THREAD = BackendSettings(threads=1)
ENTRIES = json.loads((SCENES / "questions.json").read_text())
LENGTH = 30
EQUAL = 1e-5


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    take_the_cpu_for_a_device(monkeypatch)


@pytest.mark.usefixtures("device")
def test_rows_equal_prompts_of_their_own() -> None:
    bundle = open_bundle(POCKET)
    width, decoder = bundle.manifest.decoder.hidden_size, Decoder(bundle, ONE_THREAD)
    start = run_step(decoder, embeddings(width, length=LENGTH), decoder.empty(3 * LENGTH), Counts())
    prefix = Prefix(start.cache, start.states, np.arange(LENGTH)[None])
    stretches = [embeddings(width, seed, length) for seed, length in ((1, 7), (2, 12))]
    tokens = [embeddings(width, seed, 3) for seed in (3, 4)]

    def chunk(embeds: Any, first: int) -> PromptChunk:
        following = first + embeds.shape[1]
        return PromptChunk(embeds, np.arange(first, following)[None], following)

    counts = Counts()
    chunks = [chunk(stretch, LENGTH) for stretch in stretches]
    steps = decoder.side_by_side(prefix, chunks, 15, counts)
    together = [steps]
    for index in range(3):
        caches = [step.cache for step in steps]
        chunks = [
            chunk(token[:, index : index + 1], cache.next_position)
            for token, cache in zip(tokens, caches, strict=True)
        ]
        steps = decoder.step_side_by_side(chunks, caches, counts)
        together.append(steps)
    assert counts.decoder_runs == 2 + 3
    assert counts.decoder_tokens == 7 + 12 + 2 * 3
    for row, (stretch, token) in enumerate(zip(stretches, tokens, strict=True)):
        with decoder.lend(prefix, 15, Counts()) as cache:
            alone = [run_step(decoder, stretch, cache, Counts())]
            for index in range(3):
                one = token[:, index : index + 1]
                alone.append(run_step(decoder, one, alone[-1].cache, Counts()))
            for actual, expected in zip(together, alone, strict=True):
                assert_equal(actual[row], expected, EQUAL)


def ask(carve: Carve, image: Any, question: str) -> tuple[CarveResult, list[Token]]:
    heard: list[Token] = []
    settings: dict[str, Any] = {"variant": "v4", "max_new_tokens": 4}
    return carve.ask(image, question, on_token=heard.append, **settings), heard


CASES = ["pocket", "llava-clip-gqa", "qwen2_5_vl", "qwen3_vl"]


@pytest.mark.parametrize("case", CASES)
def test_passes_are_those_one_after_the_other(
    case: str, export_of: ExportOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = POCKET if case == "pocket" else export_of(case, "ort").folder
    picture = SCENES / "scene-00.jpg" if case == "pocket" else sorted(PHOTOS.glob("*.jpg"))[0]
    questions = [entry["question"] for entry in ENTRIES[:2]]
    settings: dict[str, Any] = {"threads": 1, "image_cache_bytes": 0}
    alone = Carve.load(folder, **settings)
    expected = [ask(alone, picture, question) for question in questions]
    take_the_cpu_for_a_device(monkeypatch)
    together = Carve.load(folder, **settings)
    for question, (result, heard) in zip(questions, expected, strict=True):
        actual, heard_now = ask(together, picture, question)
        assert actual.counts.decoder_runs < result.counts.decoder_runs
        assert heard_now == heard
        assert actual.token_ids == result.token_ids
        assert actual.plain_token_ids == result.plain_token_ids
        assert actual.plain_probability == pytest.approx(result.plain_probability, rel=1e-4)
        assert_close(actual.question_attention, result.question_attention, atol=EQUAL)
        assert_close(actual.general_attention, result.general_attention, atol=EQUAL)
        assert actual.bbox == result.bbox


@pytest.mark.usefixtures("device")
def test_what_may_be_left_out_is_not_begun() -> None:
    """Adaptive questions may need no general pass; a kept one is not run again."""
    carve = Carve.load(POCKET, threads=1)
    picture, question = SCENES / "scene-00.jpg", ENTRIES[0]["question"]
    sure: dict[str, Any] = {"adaptive": True, "sure_probability": 0.0, "focused_entropy": 99}
    adaptive = carve.ask(picture, question, variant="v4", **sure)
    assert adaptive.skipped is not None
    assert adaptive.counts.decoder_runs == 1 + len(adaptive.question_attention)
    with carve.open(picture) as session:
        first = session.ask(question, variant="v4")
        again = session.ask(question, variant="v4")
    assert again.counts.decoder_runs < first.counts.decoder_runs
    assert_close(again.general_attention, first.general_attention)


@pytest.mark.usefixtures("device")
def test_a_longer_general_prompt_takes_no_room_from_the_answer() -> None:
    """One after the other it has few steps; together both would have as many as are allowed."""
    carve = Carve.load(POCKET, threads=1)
    picture, limit = SCENES / "scene-00.jpg", carve.manifest.decoder.context_length
    question = "What letter is on it?"

    def fits(steps: int) -> bool:
        try:
            return bool(carve.plain(picture, question, max_new_tokens=steps).answer)
        except PromptError:
            return False

    most = next(steps for steps in range(limit, 0, -1) if fits(steps))
    settings: dict[str, Any] = {"variant": "v4", "final_prompt": "refined"}
    result = carve.ask(picture, question, max_new_tokens=most, **settings)
    assert 1 < len(result.general_attention) <= len(result.question_attention)
