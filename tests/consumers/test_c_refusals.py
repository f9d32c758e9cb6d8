"""libcarve refuses what it cannot use, and survives what is damaged."""

from __future__ import annotations

import ctypes as c
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carve_runtime import load_image
from tests.consumers import libcarve
from tests.consumers.building import QUESTION, SANITIZERS, edited, harness, refused, run
from tests.consumers.libcarve import Library
from tests.support import POCKET

MUTATIONS = 10_000
VALGRIND_MUTATIONS = 100


def truncate(name: str) -> Any:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:100])

    return damage


def remove(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


def swap(folder: Path) -> None:
    path = folder / "onnx" / "vision_encoder.onnx"
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove("carve.json"), "cannot be read"),
        (truncate("carve.json"), "is not JSON"),
        (remove("onnx/embed_tokens.onnx"), "embed_tokens.onnx is missing"),
        (truncate("onnx/decoder_model_merged.onnx"), "has 100 bytes"),
        (truncate("tokenizer.json"), "has 100 bytes"),
        (swap, "SHA-256 differs"),
    ],
)
def test_damaged_bundles(damage: Any, message: str, library: Library, tmp_path: Path) -> None:
    folder = edited(tmp_path / "bundle", "carve.json", lambda document: None)
    damage(folder)
    with refused(libcarve.BUNDLE, message):
        library.open(folder)


@pytest.mark.parametrize(
    ("edit", "code", "message"),
    [
        (lambda m: m.update(schema_version=9), libcarve.UNSUPPORTED, "schema version 9"),
        (lambda m: m["graphs"].pop("preprocess"), libcarve.UNSUPPORTED, "no graph preprocess"),
        (lambda m: m["image"].update(kind="tiled"), libcarve.UNSUPPORTED, "of the kind 'tiled'"),
        (lambda m: m.update(dtype="bfloat16"), libcarve.UNSUPPORTED, "computes in 'bfloat16'"),
        (
            lambda m: m.update(dtype="float16"),
            libcarve.UNSUPPORTED,
            "inputs that this library does not feed",
        ),
        (lambda m: m["image"].pop("grid"), libcarve.BUNDLE, "grid"),
        (lambda m: m["defaults"].update(adaptive=True), libcarve.UNSUPPORTED, "adaptive"),
        (lambda m: m["defaults"].update(mask_top_p="some"), libcarve.BUNDLE, "mask_top_p"),
        (
            lambda m: m["graphs"]["decoder_model_merged"]["inputs"].pop(),
            libcarve.UNSUPPORTED,
            "inputs that this library does not feed",
        ),
        (
            lambda m: m["graphs"]["embed_tokens"].update(file="../embed_tokens.onnx"),
            libcarve.BUNDLE,
            "outside the bundle",
        ),
        (lambda m: m["decoder"].update(hidden_size=127), libcarve.BUNDLE, "another type or shape"),
    ],
)
def test_unusable_manifests(
    edit: Any, code: int, message: str, library: Library, tmp_path: Path
) -> None:
    folder = edited(tmp_path / "bundle", "carve.json", edit)
    with refused(code, message):
        library.look(library.open(folder), load_image(POCKET / "example.jpg"))


def test_providers(library: Library) -> None:
    with refused(libcarve.PROVIDER, "no NoSuchExecutionProvider"):
        library.open(POCKET, provider=b"NoSuchExecutionProvider")
    with refused(libcarve.SETTINGS, "threads is -1"):
        library.open(POCKET, threads=-1)
    with refused(libcarve.SETTINGS, "CPUExecutionProvider has no numbered devices"):
        library.open(POCKET, device=1)


def test_wrong_arguments(library: Library, model: c.c_void_p, view: c.c_void_p) -> None:
    pixels = np.zeros((20, 30, 3), np.uint8)
    with refused(libcarve.INVALID, "The folder is NULL"):
        library.create("open", None, None)
    with refused(libcarve.INVALID, "The model's address is NULL"):
        library.call("open", b"", None, None)
    with refused(libcarve.INVALID, "struct_size 3"):
        library.create("open", str(POCKET).encode(), c.byref(libcarve.OpenOptions(3)))
    with refused(libcarve.INVALID, "The model is NULL"):
        library.look(c.c_void_p(), pixels)
    with refused(libcarve.INVALID, "image->pixels is NULL"):
        library.look(model, pixels, pixels=None)
    for sides in ((0, 20), (30, 0), (1, 20), (-30, 20), (30, 2**31 - 1)):
        with refused(libcarve.IMAGE, "The image is"):
            library.look(model, pixels, width=sides[0], height=sides[1])
    with refused(libcarve.IMAGE, "a ratio above"):
        library.look(model, np.zeros((2, 600, 3), np.uint8))
    with refused(libcarve.IMAGE, "row_bytes is 89"):
        library.look(model, pixels, row_bytes=89)
    with refused(libcarve.INVALID, "The view is NULL"):
        library.ask(c.c_void_p(), QUESTION)
    with refused(libcarve.INVALID, "The question is NULL"):
        library.create("ask", view, None, None)
    with refused(libcarve.INVALID, "The result is NULL"):
        library.read(c.c_void_p())
    with refused(libcarve.PROMPT, "not valid UTF-8"):
        library.ask(view, "what\udcff?")
    with refused(libcarve.PROMPT, "is empty"):
        library.ask(view, " \n")
    with refused(libcarve.PROMPT, "positions"):
        library.ask(view, "what " * 1500)
    with refused(libcarve.PROMPT, "more than 16384 bytes"):
        library.ask(view, "what " * 15000)


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"struct_size": 8}, libcarve.INVALID, "struct_size 8"),
        ({"layer_count": 0}, libcarve.SETTINGS, "layers is empty"),
        ({"steps": 3}, libcarve.SETTINGS, "steps is 3"),
        ({"strategy": -1}, libcarve.SETTINGS, "strategy is -1"),
        ({"mask_top_p": 0.0}, libcarve.SETTINGS, "mask_top_p is 0"),
        ({"mask_top_p": float("nan")}, libcarve.SETTINGS, "mask_top_p is"),
        ({"outlier_percent": 101.0}, libcarve.SETTINGS, "outlier_percent is 101"),
        ({"max_regions": 0}, libcarve.SETTINGS, "max_regions is 0"),
        ({"max_new_tokens": -2}, libcarve.SETTINGS, "max_new_tokens is -2"),
        ({"max_new_tokens": 5000}, libcarve.PROMPT, "positions"),
        ({"contrast": 3}, libcarve.SETTINGS, "contrast is 3"),
        ({"outlier_percent": libcarve.AUTO}, libcarve.SETTINGS, "outlier_percent is -1"),
        ({"max_refined_pixels": -1}, libcarve.SETTINGS, "max_refined_pixels is -1"),
    ],
)
def test_wrong_settings(
    changes: dict[str, Any],
    code: int,
    message: str,
    library: Library,
    model: c.c_void_p,
    view: c.c_void_p,
) -> None:
    options = library.options(model)
    for name, value in changes.items():
        setattr(options, name, value)
    with refused(code, message):
        library.ask(view, QUESTION, options)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return edited(tmp_path / "scratch", "carve.json", lambda document: None)


def test_random_damage_under_the_sanitizers(
    onnxruntime: Path, scratch: Path, tmp_path: Path
) -> None:
    program = harness("mutate", onnxruntime, tmp_path, *SANITIZERS)
    assert run(program, POCKET, scratch, MUTATIONS, 1) == f"{MUTATIONS} inputs\n"


def test_random_damage_under_valgrind(onnxruntime: Path, scratch: Path, tmp_path: Path) -> None:
    """What reads files and text; ONNX Runtime's own code would take minutes there."""
    program = harness("mutate", onnxruntime, tmp_path)
    flags = (
        "--quiet",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite",
        "--error-exitcode=1",
    )
    run("valgrind", *flags, program, POCKET, scratch, VALGRIND_MUTATIONS, 2, "files")
