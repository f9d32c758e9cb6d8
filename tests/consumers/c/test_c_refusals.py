"""libcarve refuses what it cannot use, and survives what is damaged."""

from __future__ import annotations

import ctypes as c
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carve_runtime import load_image
from tests.conftest import Once
from tests.consumers.building import QUESTION, SANITIZERS, edited, harness, refused, run
from tests.consumers.c import libcarve
from tests.consumers.c.libcarve import Library
from tests.consumers.family_tokenizers import write_tokenizers
from tests.support import POCKET

MUTATIONS = 10_000
VALGRIND_MUTATIONS = 100
TOKENIZER_MUTATIONS = 200


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


def forget(output: str) -> Any:
    """Let ``preprocess.onnx`` not give an output, as the manifest has it."""

    def edit(manifest: dict[str, Any]) -> None:
        graph = manifest["graphs"]["preprocess"]
        graph["outputs"] = [each for each in graph["outputs"] if each["name"] != output]

    return edit


@pytest.mark.parametrize(
    ("edit", "code", "message"),
    [
        (lambda m: m.update(schema_version=9), libcarve.UNSUPPORTED, "schema version 9"),
        (lambda m: m["graphs"].pop("preprocess"), libcarve.UNSUPPORTED, "no graph preprocess"),
        (forget("image_ids"), libcarve.UNSUPPORTED, "Export the checkpoint again"),
        (forget("pixel_values"), libcarve.BUNDLE, "preprocess does not give pixel_values"),
        (lambda m: m.update(dtype="bfloat16"), libcarve.UNSUPPORTED, "computes in 'bfloat16'"),
        (lambda m: m.update(dtype="float16"), libcarve.BUNDLE, "other inputs"),
        (lambda m: m["decoder"].update(positions="mrope"), libcarve.BUNDLE, "other inputs"),
        (lambda m: m["decoder"].update(positions="free"), libcarve.UNSUPPORTED, "are 'free'"),
        (lambda m: m["decoder"].update(attention="all"), libcarve.UNSUPPORTED, "is 'all'"),
        (lambda m: m["decoder"].update(attention="heads"), libcarve.BUNDLE, "another type or"),
        (lambda m: m["decoder"].update(deepstack_layers=1), libcarve.BUNDLE, "other inputs"),
        (lambda m: m["decoder"].update(deepstack_layers=3), libcarve.BUNDLE, "cannot be split"),
        (lambda m: m["decoder"].update(exit_layers=4), libcarve.BUNDLE, "exit_layers"),
        (lambda m: m["decoder"].update(exit_layers=3), libcarve.BUNDLE, "other inputs"),
        (lambda m: m["decoder"].update(tapped_layers=[1, 0]), libcarve.BUNDLE, "in order"),
        (
            lambda m: m["graphs"].pop("decoder_upper"),
            libcarve.UNSUPPORTED,
            "no graph decoder_upper",
        ),
        (lambda m: m["defaults"].update(adaptive=1), libcarve.BUNDLE, "neither true nor false"),
        (lambda m: m["defaults"].update(mask_top_p="some"), libcarve.BUNDLE, "mask_top_p"),
        (lambda m: m["graphs"]["decoder_lower"]["inputs"].pop(), libcarve.BUNDLE, "other inputs"),
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


def test_links(library: Library, tmp_path: Path) -> None:
    """One that leaves the bundle is refused, one within it is not."""
    folder = edited(tmp_path / "bundle", "carve.json", lambda document: None)
    tokenizer = folder / "tokenizer.json"
    tokenizer.rename(folder / "other.json")
    tokenizer.symlink_to("other.json")
    library.c.carve_model_free(library.open(folder))
    (folder / "other.json").rename(tmp_path / "bundle-other.json")
    tokenizer.unlink()
    tokenizer.symlink_to(tmp_path / "bundle-other.json")
    with refused(libcarve.BUNDLE, "is a link that leaves the bundle"):
        library.open(folder)


@pytest.mark.parametrize("shift", range(3))
def test_messages_end_with_a_whole_character(shift: int, library: Library, tmp_path: Path) -> None:
    """Names are cut at a number of bytes, and may be no text at all."""
    name = "x" * shift + "東" * 200
    folder = edited(
        tmp_path / "bundle", "carve.json", lambda m: m["files"].update({f"../{name}": {}})
    )
    with pytest.raises(libcarve.LibcarveError) as failure:
        library.open(folder)
    assert "東" in str(failure.value)
    assert "\ufffd" not in str(failure.value)
    with refused(libcarve.PROVIDER, "no Mine"):
        library.open(POCKET, provider=b"Mine" + b"\xff\xe6\x9d")


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
    with refused(libcarve.SETTINGS, "scout_pixels is -1"):
        library.look(model, pixels, scout_pixels=-1)
    with refused(libcarve.SETTINGS, "this model sees every image at one size"):
        library.look(model, pixels, scout_pixels=10**6)
    with refused(libcarve.INVALID, "The model is NULL"):
        library.call("cancel", None, 1)
    with refused(libcarve.INVALID, "cancelled is 2"):
        library.call("cancel", model, 2)
    with refused(libcarve.INVALID, "The options' address is NULL"):
        library.call("set_variant", None, 0)
    with refused(libcarve.SETTINGS, "variant is 4"):
        library.call("set_variant", c.byref(library.options(model)), 4)
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
    with refused(libcarve.PROMPT, "positions"):  # 64 bytes for each of 1024 positions are read
        library.ask(view, "what " * 13000)
    with refused(libcarve.PROMPT, "more than 65536 bytes"):
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
        ({"method": 2}, libcarve.SETTINGS, "method is relative, and this library has contrast and"),
        ({"method": 7}, libcarve.SETTINGS, "method is 7"),
        ({"contrast": 3}, libcarve.SETTINGS, "contrast is 3"),
        ({"outlier_percent": libcarve.AUTO}, libcarve.SETTINGS, "outlier_percent is -1"),
        ({"max_refined_pixels": -1}, libcarve.SETTINGS, "max_refined_pixels is -1"),
        ({"scout_pixels": -1}, libcarve.SETTINGS, "scout_pixels is -1"),
        ({"scout_pixels": 9}, libcarve.SETTINGS, "the image was looked at with 0"),
        ({"final_pixels": 9}, libcarve.SETTINGS, "this model sees every image at one size"),
        ({"sure_probability": 1.1}, libcarve.SETTINGS, "sure_probability is 1.1"),
        ({"focused_entropy": -2.0}, libcarve.SETTINGS, "focused_entropy is -2"),
        ({"resize_refined": 2}, libcarve.SETTINGS, "resize_refined is once"),
        ({"resize_refined": 3}, libcarve.SETTINGS, "resize_refined is 3"),
        ({"early_exit": 2}, libcarve.SETTINGS, "early_exit is 2"),
        ({"early_exit": 1, "steps": 1}, libcarve.SETTINGS, "sees the first step only"),
        ({"early_exit": 1, "adaptive": 1}, libcarve.SETTINGS, "without adaptive"),
        ({"early_exit": 1, "layers": 3}, libcarve.SETTINGS, "stops below layer 2"),
        ({"adaptive": 1, "sure_probability": -1.0}, libcarve.SETTINGS, "no thresholds"),
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
    layer = c.c_int32(changes.get("layers", 0))
    for name, value in changes.items():
        setattr(options, name, c.pointer(layer) if name == "layers" else value)
    with refused(code, message):
        library.ask(view, QUESTION, options)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return edited(tmp_path / "scratch", "carve.json", lambda document: None)


@pytest.fixture(scope="module")
def sanitized(onnxruntime: Path, once: Once[Path]) -> Path:
    """tests/consumers/c/mutate.c, which ends where the sanitizers find something."""
    return once(
        "mutate-harness", lambda folder: harness("mutate", onnxruntime, folder, *SANITIZERS)
    )


def test_random_damage_under_the_sanitizers(sanitized: Path, scratch: Path) -> None:
    assert run(sanitized, POCKET, scratch, MUTATIONS, 1) == f"{MUTATIONS} inputs\n"


@pytest.mark.parametrize("kind", ["llava", "qwen2", "smollm2"])
def test_random_damage_to_other_tokenizers(kind: str, sanitized: Path, tmp_path: Path) -> None:
    document = json.loads(write_tokenizers(tmp_path)[kind].read_text())
    folders = [
        edited(tmp_path / name, "tokenizer.json", lambda pockets: pockets.update(document))
        for name in ("bundle", "scratch")
    ]
    printed = run(sanitized, *folders, TOKENIZER_MUTATIONS, 3, "files")
    assert printed == f"{TOKENIZER_MUTATIONS} inputs\n"


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
