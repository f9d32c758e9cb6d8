"""libcarve answers as the Python runtime does."""

from __future__ import annotations

import ctypes as c
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carve_export.precision.agreement import mask_overlap
from carve_export.questions import write_questions
from carve_runtime import Carve, load_image
from tests.comparing import assert_close
from tests.consumers import libcarve
from tests.consumers.building import QUESTION, edited, harness, refused
from tests.consumers.conftest import Pair, random_texts
from tests.consumers.libcarve import Library, array
from tests.support import POCKET

IOU = 0.99

AUTOMATIC = {"auto": libcarve.AUTO}
ENUMS = {
    "steps": ("first", "all", "last"),
    "strategy": ("attention_sum", "size", "remove_small"),
    "rule": ("released", "paper"),
    "geometry": ("input", "released"),
    "final_prompt": ("pair", "refined"),
    "contrast": ("on", "off", "auto"),
}


def text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def compare(library: Library, view: c.c_void_p, pair: Pair, options: Any = None) -> None:
    """Ask in C and compare everything with Python's result."""
    wanted = pair.result
    handle = library.ask(view, pair.question, options)
    got = library.read(handle)
    assert (text(got.answer), text(got.plain_answer)) == (wanted.answer, wanted.plain_answer)
    assert tuple(got.ids[: got.id_count]) == wanted.token_ids
    assert tuple(got.plain_ids[: got.plain_id_count]) == wanted.plain_token_ids
    shape = got.height, got.width
    assert shape == wanted.mask.shape
    mask = array(got.mask, *shape).astype(bool)
    assert mask_overlap(mask, wanted.mask) >= IOU
    assert_close(array(got.saliency, *shape), wanted.saliency, rtol=1e-4)
    assert tuple(got.box) == wanted.bbox
    refined = array(got.refined, got.refined_height, got.refined_width, 3)
    np.testing.assert_array_equal(refined, wanted.refined_image)
    assert bool(got.refined_limited) == wanted.refined_limited
    library.c.carve_result_free(handle)


def test_the_same_answers_as_python(library: Library, model: c.c_void_p, pairs: list[Pair]) -> None:
    for pair in pairs:
        view = library.look(model, load_image(pair.image))
        compare(library, view, pair)
        library.c.carve_view_free(view)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": "all", "strategy": "size", "rule": "released", "mask_top_p": 0.3},
        {"steps": "last", "strategy": "remove_small", "outlier_percent": 5.0},
        {"final_prompt": "refined", "max_regions": 3, "geometry": "released"},
        {"layers": (0, 2, 3), "max_refined_pixels": 5000, "max_new_tokens": 2},
        {"contrast": "off"},
        {"contrast": "auto", "layers": (1,)},
        {"contrast": "auto", "layers": (2, 3), "steps": "all"},
        {"regularizer": "auto", "mask_top_p": "auto", "steps": "all", "layers": (0, 1, 2)},
    ],
)
def test_settings(
    changes: dict[str, Any], library: Library, view: c.c_void_p, model: c.c_void_p, pocket: Carve
) -> None:
    image = POCKET / "example.jpg"
    pair = Pair(image, QUESTION, pocket.ask(image, QUESTION, **changes))
    given = {
        name: ENUMS[name].index(value) if name in ENUMS else AUTOMATIC.get(value, value)
        for name, value in changes.items()
        if name != "layers"
    }
    options = library.options(model, **given)
    if "layers" in changes:
        layers = (c.c_int32 * len(changes["layers"]))(*changes["layers"])
        options.layers, options.layer_count = layers, len(layers)
    compare(library, view, pair, options)


def test_default_settings(library: Library, pocket: Carve, tmp_path: Path) -> None:
    """A bundle's defaults may follow from the attention, and save time."""

    def edit(manifest: dict[str, Any]) -> None:
        automatic = {"mask_top_p": "auto", "regularizer": "auto", "contrast": "auto"}
        manifest["defaults"] |= automatic | {"early_exit": True, "final_pixels": 5000}

    model = library.open(edited(tmp_path / "bundle", "carve.json", edit))
    options = library.options(model)
    assert (options.mask_top_p, options.regularizer) == (libcarve.AUTO, libcarve.AUTO)
    assert options.contrast == ENUMS["contrast"].index("auto")
    assert options.max_refined_pixels == 5000
    library.c.carve_model_free(model)


def test_a_plain_answer(library: Library, view: c.c_void_p, pocket: Carve) -> None:
    result = library.made("plain", view, QUESTION.encode(), 0)
    got = library.read(result)
    assert text(got.answer) == pocket.plain(POCKET / "example.jpg", QUESTION).answer
    assert got.plain_answer is None
    assert not got.mask
    library.c.carve_result_free(result)


def test_rows_with_gaps_and_a_model_freed_first(library: Library, pairs: list[Pair]) -> None:
    pixels = load_image(pairs[0].image)
    wide = np.pad(pixels, ((0, 0), (0, 7), (0, 0)))[:, : pixels.shape[1]]
    model = library.open(POCKET, sizes_only=1)
    view = library.look(model, wide)
    wide[:] = 0  # the view has its own
    library.c.carve_model_free(model)
    compare(library, view, pairs[0])
    library.c.carve_view_free(view)


def test_text_and_ids_are_pythons(onnxruntime: Path, pocket: Carve, tmp_path: Path) -> None:
    program = harness("text", onnxruntime, tmp_path)
    encoder = pocket._model.text
    texts = random_texts(2000)
    given = b"".join(text.encode() + b"\0" for text in texts)
    done = subprocess.run([program, POCKET, "encode"], input=given, capture_output=True, check=True)
    for text, line in zip(texts, done.stdout.decode().splitlines(), strict=True):
        assert line == " ".join(map(str, encoder.encode(text))), repr(text)

    random = np.random.default_rng(1)
    vocabulary = pocket.manifest.decoder.vocab_size
    lists = [random.integers(0, vocabulary, random.integers(0, 9)).tolist() for _ in range(2000)]
    lists = [ids for ids in lists if "\0" not in encoder.decode(ids)]  # it ends texts in C
    given = b"".join(" ".join(map(str, ids)).encode() + b"\0" for ids in lists)
    done = subprocess.run([program, POCKET, "decode"], input=given, capture_output=True, check=True)
    answers = done.stdout.decode().split("\0")[:-1]
    for ids, answer in zip(lists, answers, strict=True):
        assert answer.strip() == encoder.decode(ids), ids


def test_questions_encoded_beforehand(
    library: Library, view: c.c_void_p, pocket: Carve, tmp_path: Path
) -> None:
    """A tokenizer that the library cannot run answers the questions of the file, and no others."""
    bundle = edited(tmp_path / "bundle", "tokenizer.json", refused_tokenizer)
    questions = tmp_path / "questions.json"
    write_questions(bundle, [QUESTION], questions)
    model = library.open(bundle, prompts=str(questions).encode())
    opened = library.look(model, load_image(POCKET / "example.jpg"))
    image = POCKET / "example.jpg"
    compare(library, opened, Pair(image, QUESTION, pocket.ask(image, QUESTION)))
    with refused(libcarve.UNSUPPORTED, "it adds tokens that are not special"):
        library.ask(opened, "Another question?")
    library.c.carve_view_free(opened)
    library.c.carve_model_free(model)
    with refused(libcarve.BUNDLE, "made for another tokenizer"):
        library.open(POCKET, prompts=str(questions).encode())


def refused_tokenizer(document: dict[str, Any]) -> None:
    document["added_tokens"].append({**document["added_tokens"][0], "special": False})
    document["added_tokens"][-1] |= {"id": 4, "content": "!"}
