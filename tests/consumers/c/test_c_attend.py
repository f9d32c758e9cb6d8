"""libcarve attends as the Python runtime does."""

from __future__ import annotations

import ctypes as c
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carve_export.questions import write_questions
from carve_runtime import Carve, load_image
from tests.comparing import assert_close
from tests.consumers.attended import CLOSE, Attended
from tests.consumers.building import QUESTION, edited, refused
from tests.consumers.c import libcarve
from tests.consumers.c.libcarve import (
    AttendOptions,
    AttentionReading,
    Library,
    TokenFunction,
    array,
)
from tests.support import POCKET

IMAGE = POCKET / "example.jpg"


def texts(pointer: Any, count: int) -> tuple[str, ...]:
    return tuple(text.decode() for text in pointer[:count])


def compare(actual: AttentionReading, case: Attended) -> None:
    """Everything that a reading holds is Python's."""
    expected = case.attention
    steps, layers, positions = actual.step_count, actual.layer_count, actual.positions
    assert (steps, layers, positions) == expected.rows.shape
    assert_close(array(actual.rows, steps, layers, positions), expected.rows, rtol=0, atol=CLOSE)
    assert tuple(actual.layers[:layers]) == expected.layers
    np.testing.assert_array_equal(array(actual.ids, positions), expected.ids)
    # A zero would end a text.
    tokens = tuple(text.replace("\0", "\ufffd") for text in expected.tokens)
    words = tuple(text.replace("\0", "\ufffd") for text in expected.words)
    assert texts(actual.tokens, positions) == tokens
    assert texts(actual.words, steps) == words
    assert actual.answer.decode() == expected.answer
    assert (actual.grid_rows, actual.grid_columns) == expected.grid
    map_tokens = array(actual.map_tokens, len(expected.map_tokens))
    np.testing.assert_array_equal(map_tokens, expected.map_tokens)
    assert_close(tuple(actual.window), expected.window)
    assert (actual.width, actual.height) == expected.image_size
    assert_close(array(actual.mass, steps, layers), expected.mass(), rtol=0, atol=10 * CLOSE)
    assert_close(array(actual.entropy, steps, layers), expected.entropy(), rtol=0, atol=10 * CLOSE)


def test_the_same_attention_as_python(library: Library, attended: list[Attended]) -> None:
    """Rows, words and where they lie, for pocket and every family's bundle."""
    for bundle in {case.bundle for case in attended}:
        model = library.open(bundle, threads=1)
        for case in [case for case in attended if case.bundle == bundle]:
            view = library.look(model, load_image(case.image))
            handle = library.attend(view, case.text, generate=case.generate)
            compare(library.read_attention(handle), case)
            library.c.carve_attention_free(handle)
            library.c.carve_view_free(view)
        library.c.carve_model_free(model)


def test_attention_outlives_its_model(library: Library, pocket: Carve) -> None:
    """And without options there is one step."""
    model = library.open(POCKET, threads=1)
    view = library.look(model, load_image(IMAGE))
    handle = library.create("attend", view, QUESTION.encode(), None)
    library.c.carve_view_free(view)
    library.c.carve_model_free(model)
    expected = pocket.attend(IMAGE, QUESTION)
    assert expected.steps == 1
    compare(library.read_attention(handle), Attended(POCKET, IMAGE, QUESTION, 1, expected))
    library.c.carve_attention_free(handle)


def test_text_while_it_is_generated(library: Library, view: c.c_void_p, pocket: Carve) -> None:
    told: list[tuple[int, str]] = []
    stop = False

    def on_token(_: Any, stage: int, text: bytes) -> int:
        told.append((stage, text.decode()))
        return int(stop)

    options = {"generate": 8, "on_token": TokenFunction(on_token)}
    library.c.carve_attention_free(library.attend(view, QUESTION, **options))
    assert "".join(text for _, text in told) == pocket.plain(IMAGE, QUESTION).answer
    assert {libcarve.STAGES[stage] for stage, _ in told} == {"question"}
    stop = True
    with refused(libcarve.CANCELLED, "on_token ended the answer"):
        library.attend(view, QUESTION, **options)


def test_the_work_is_the_next_results(library: Library, pocket: Carve) -> None:
    model = library.open(POCKET, threads=1)
    counts = []
    for attends in (False, True):
        view = library.look(model, load_image(IMAGE))
        if attends:
            library.c.carve_attention_free(library.attend(view, QUESTION))
        result = library.create("plain", view, QUESTION.encode(), 1)
        counts.append(library.read(result).decoder_tokens)
        library.c.carve_result_free(result)
        library.c.carve_view_free(view)
    library.c.carve_model_free(model)
    attention = pocket.attend(IMAGE, QUESTION)
    assert counts[1] - counts[0] == attention.rows.shape[-1] - attention.map_tokens[-1] - 1


def test_texts_that_cannot_be_decoded(library: Library, tmp_path: Path) -> None:
    """Rows and ids are there all the same."""

    def edit(document: dict[str, Any]) -> None:
        """Let each word be a token."""
        vocab = document["model"]["vocab"]
        document["model"] = {"type": "WordLevel", "vocab": vocab, "unk_token": next(iter(vocab))}

    bundle = edited(tmp_path / "bundle", "tokenizer.json", edit)
    questions = tmp_path / "questions.json"
    write_questions(bundle, [QUESTION], questions)
    model = library.open(bundle, prompts=str(questions).encode())
    view = library.look(model, load_image(IMAGE))
    handle = library.attend(view, QUESTION, generate=2)
    reading = library.read_attention(handle)
    assert (reading.step_count, reading.answer) == (2, None)
    assert not reading.tokens
    assert not reading.words
    assert array(reading.ids, reading.positions).max() > 0
    library.c.carve_attention_free(handle)
    library.c.carve_view_free(view)
    library.c.carve_model_free(model)


@pytest.mark.parametrize(
    ("text", "options", "code", "message"),
    [
        ("", {}, libcarve.PROMPT, "is empty"),
        ("what\udcff?", {}, libcarve.PROMPT, "not valid UTF-8"),
        ("what " * 1500, {}, libcarve.PROMPT, "positions"),
        (QUESTION, {"generate": 10**6}, libcarve.PROMPT, "positions"),
        (QUESTION, {"generate": -1}, libcarve.SETTINGS, "generate is -1"),
    ],
)
def test_what_cannot_be_asked(
    text: str, options: Any, code: int, message: str, library: Library, view: c.c_void_p
) -> None:
    with refused(code, message):
        library.attend(view, text, **options)


def test_wrong_arguments(library: Library, view: c.c_void_p) -> None:
    with refused(libcarve.INVALID, "The view is NULL"):
        library.attend(c.c_void_p(), QUESTION)
    with refused(libcarve.INVALID, "The question is NULL"):
        library.create("attend", view, None, None)
    with refused(libcarve.INVALID, "The attention's address is NULL"):
        library.call("attend", view, QUESTION.encode(), None, None)
    with refused(libcarve.INVALID, "carve_attend_options has struct_size 8"):
        library.create("attend", view, QUESTION.encode(), c.byref(AttendOptions(8)))
    with refused(libcarve.INVALID, "The attention is NULL"):
        library.read_attention(c.c_void_p())
    handle = library.attend(view, QUESTION)
    with refused(libcarve.INVALID, "The reading's address is NULL"):
        library.call("read_attention", handle, None)
    with refused(libcarve.INVALID, "carve_attention_reading has struct_size 8"):
        library.call("read_attention", handle, c.byref(AttentionReading(8)))
    library.c.carve_attention_free(handle)
    library.c.carve_attention_free(None)
