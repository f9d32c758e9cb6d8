"""libcarve answers as the Python runtime does."""

from __future__ import annotations

import ctypes as c
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carve_export.precision.agreement import mask_overlap
from carve_export.questions import write_questions
from carve_models.settings import AUTO, VARIANTS, Settings
from carve_runtime import Carve, CarveResult, load_image
from tests.comparing import assert_close
from tests.consumers.building import QUESTION, edited, refused
from tests.consumers.c import libcarve
from tests.consumers.c.libcarve import Library, PlainOptions, array, image_over
from tests.consumers.cases import CHANGES, Changes, Pair, answered
from tests.support import POCKET
from tools.checks.settings_table.table import offered_settings

IOU = 0.99

#: The values of each choice, in the order of carve.h's enumerators.
CHOICES = {choice.name: choice.values for choice in offered_settings()[0]}


def text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def compare(
    library: Library, view: c.c_void_p, pair: Pair, options: Any = None, *, fresh: bool = False
) -> None:
    """Ask in C and compare everything with Python's result.

    Args:
        library: libcarve.
        view: of the pair's image.
        pair: Python's result.
        options: the settings, the bundle's if ``None``.
        fresh: nobody has asked about the view before, nor in Python: both did the same work.
    """
    expected = pair.result
    handle = library.ask(view, pair.question, options)
    actual = library.read(handle)
    assert text(actual.answer) == expected.answer
    assert text(actual.plain_answer) == expected.plain_answer
    assert tuple(actual.ids[: actual.id_count]) == expected.token_ids
    assert tuple(actual.plain_ids[: actual.plain_id_count]) == (expected.plain_token_ids or ())
    bound = 1e-2 * (len(expected.token_ids) + 1)  # the product over steps, in half precision too
    assert_close(np.log(actual.probability), np.log(expected.probability), atol=bound)
    assert_close(actual.plain_probability, expected.plain_probability or 0, rtol=1e-3)
    assert text(actual.skipped) == expected.skipped
    assert (actual.rows, actual.columns) == expected.grid
    assert_close(actual.entropy, expected.entropy, rtol=1e-4)
    compare_refinement(actual, expected)
    if fresh:
        for name in ("vision_runs", "decoder_tokens", "layer_tokens"):
            assert getattr(actual, name) == getattr(expected.counts, name), name
    library.c.carve_result_free(handle)


def compare_refinement(actual: Any, expected: CarveResult) -> None:
    """Compare what lies between the passes."""
    shape = actual.height, actual.width
    assert shape == expected.mask.shape
    assert mask_overlap(array(actual.mask, *shape).astype(bool), expected.mask) >= IOU
    saliency = array(actual.saliency, *shape)
    seen = np.isfinite(expected.saliency)  # NaN where the model saw nothing, there alone
    np.testing.assert_array_equal(np.isnan(saliency), ~seen)
    if expected.skipped is None:  # else nothing was located
        assert_close(saliency[seen], expected.saliency[seen], rtol=1e-4)
    assert tuple(actual.box) == expected.bbox
    refined = array(actual.refined, actual.refined_height, actual.refined_width, 3)
    np.testing.assert_array_equal(refined, expected.refined_image)
    assert bool(actual.refined_limited) == expected.refined_limited


def c_options(library: Library, model: c.c_void_p, changes: Changes) -> Any:
    """Return a bundle's options with settings changed."""

    def value(name: str, value: Any) -> Any:
        if name in CHOICES:
            return CHOICES[name].index(value)
        return libcarve.AUTO if value == AUTO else value

    given = {name: value for name, value in changes.items() if name not in {"layers", "variant"}}
    options = library.options(model)
    if "variant" in changes:
        variant = list(VARIANTS).index(changes["variant"])
        library.call("set_variant", c.byref(options), variant)
    for name, new in given.items():
        setattr(options, name, value(name, new))
    if "layers" in changes:
        layers = (c.c_int32 * len(changes["layers"]))(*changes["layers"])
        options.layers, options.layer_count = layers, len(layers)
    return options


def test_the_same_answers_as_python(library: Library, model: c.c_void_p, pairs: list[Pair]) -> None:
    for pair in pairs:
        view = library.look(model, load_image(pair.image))
        compare(library, view, pair, fresh=True)
        library.c.carve_view_free(view)


@pytest.mark.parametrize("index", range(len(CHANGES)), ids=map(str, CHANGES))
def test_settings(
    index: int, library: Library, model: c.c_void_p, changed_pairs: list[Pair]
) -> None:
    pair = changed_pairs[index]
    view = library.look(model, load_image(pair.image))
    compare(library, view, pair, c_options(library, model, pair.changes), fresh=True)
    library.c.carve_view_free(view)


def test_a_model_that_sees_a_part(library: Library, cropped_pairs: list[Pair]) -> None:
    model = library.open(cropped_pairs[0].bundle)
    for pair in cropped_pairs:
        view = library.look(model, load_image(pair.image))
        compare(library, view, pair, c_options(library, model, pair.changes))
        library.c.carve_view_free(view)
    library.c.carve_model_free(model)


def test_default_settings(library: Library, pocket: Carve, tmp_path: Path) -> None:
    """A bundle's defaults may follow from the attention, and save time."""

    def edit(manifest: dict[str, Any]) -> None:
        automatic = {"mask_top_p": "auto", "regularizer": "auto", "contrast": "auto"}
        modes = {"early_exit": True, "adaptive": False, "resize_refined": "twice"}
        manifest["defaults"] |= automatic | modes | {"scout_pixels": 4000, "final_pixels": 5000}

    model = library.open(edited(tmp_path / "bundle", "carve.json", edit))
    options = library.options(model)
    assert (options.mask_top_p, options.regularizer) == (libcarve.AUTO, libcarve.AUTO)
    assert options.contrast == CHOICES["contrast"].index("auto")
    assert options.resize_refined == CHOICES["resize_refined"].index("twice")
    # 0 is the view's budget, which carve_look took from the bundle or the caller gave.
    assert (options.scout_pixels, options.final_pixels) == (0, 5000)
    assert (options.early_exit, options.adaptive) == (1, 0)
    defaults = pocket.manifest.defaults
    assert options.sure_probability == defaults.sure_probability
    assert options.focused_entropy == defaults.focused_entropy
    library.c.carve_model_free(model)


def test_settings_that_a_manifest_leaves_out(library: Library, tmp_path: Path) -> None:
    """They are those of Python's Settings."""

    def edit(manifest: dict[str, Any]) -> None:
        manifest["defaults"] = {"layers": [2]}

    model = library.open(edited(tmp_path / "bundle", "carve.json", edit))
    options = library.options(model)
    expected = Settings(layers=(2,))
    for name, values in CHOICES.items():
        assert values[getattr(options, name)] == getattr(expected, name)
    for name in ("mask_top_p", "outlier_percent", "regularizer", "max_regions", "max_new_tokens"):
        assert getattr(options, name) == getattr(expected, name)
    for name in ("max_refined_pixels", "scout_pixels", "final_pixels", "early_exit", "adaptive"):
        assert getattr(options, name) == 0
    assert options.sure_probability == options.focused_entropy == libcarve.NONE
    library.c.carve_model_free(model)


def test_a_plain_answer(library: Library, view: c.c_void_p, pocket: Carve) -> None:
    result = library.create("plain", view, QUESTION.encode(), 0)
    actual = library.read(result)
    expected = pocket.plain(POCKET / "example.jpg", QUESTION)
    assert text(actual.answer) == expected.answer
    assert tuple(actual.ids[: actual.id_count]) == expected.token_ids
    assert actual.plain_answer is None
    assert not actual.mask
    library.c.carve_result_free(result)


def test_a_plain_answer_about_a_pair(library: Library, view: c.c_void_p, pocket: Carve) -> None:
    crop = pocket.ask(POCKET / "example.jpg", QUESTION).refined_image
    image = image_over(crop)
    options = PlainOptions(c.sizeof(PlainOptions), refined=c.pointer(image))
    result = library.create("plain_with", view, QUESTION.encode(), c.byref(options))
    actual = library.read(result)
    expected = pocket.plain(POCKET / "example.jpg", QUESTION, refined=crop)
    assert expected.answer != pocket.plain(POCKET / "example.jpg", QUESTION).answer
    assert text(actual.answer) == expected.answer
    library.c.carve_result_free(result)
    image.width = 1
    with refused(libcarve.IMAGE, "The image is 1 x"):
        library.create("plain_with", view, QUESTION.encode(), c.byref(options))


def test_rows_with_gaps_and_a_model_freed_first(library: Library, pairs: list[Pair]) -> None:
    pixels = load_image(pairs[0].image)
    wide = np.pad(pixels, ((0, 0), (0, 7), (0, 0)))[:, : pixels.shape[1]]
    model = library.open(POCKET, sizes_only=1)
    view = library.look(model, wide)
    wide[:] = 0  # the view has its own
    library.c.carve_model_free(model)
    compare(library, view, pairs[0])
    library.c.carve_view_free(view)


def test_questions_encoded_beforehand(
    library: Library, view: c.c_void_p, pocket: Carve, tmp_path: Path
) -> None:
    """A tokenizer that the library cannot run answers the questions of the file, and no others."""
    bundle = edited(tmp_path / "bundle", "tokenizer.json", refused_tokenizer)
    questions = tmp_path / "questions.json"
    write_questions(bundle, [QUESTION], questions)
    model = library.open(bundle, prompts=str(questions).encode())
    opened = library.look(model, load_image(POCKET / "example.jpg"))
    compare(library, opened, answered(pocket, POCKET, POCKET / "example.jpg", QUESTION))
    with refused(libcarve.UNSUPPORTED, "its normalizer NFKC is not one"):
        library.ask(opened, "Another question?")
    library.c.carve_view_free(opened)
    library.c.carve_model_free(model)
    with refused(libcarve.BUNDLE, "made for another tokenizer"):
        library.open(POCKET, prompts=str(questions).encode())


def refused_tokenizer(document: dict[str, Any]) -> None:
    """The question stays as it is."""
    document["normalizer"] = {"type": "NFKC"}
