"""carve-run: how it fails, in one line that says what to do."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from zlib import compress, crc32

import pytest
from PIL import Image

from tests.runtime.cli.commands import ASK, QUESTION, SCENE, carve_run, failed
from tests.support import POCKET, copied_pocket

WRONG_USE = {
    "unknown option": ([*ASK, "--shiny"], "No such option.*--shiny"),
    "unknown command": (["sing"], "No such command 'sing'"),
    "no question": (["ask", "default", SCENE], "Missing argument 'QUESTION...'"),
    "layers": ([*ASK, "--layers", "some"], r"'some' is not a list such as \"20-25\" or \"3,5\""),
    "no layers": ([*ASK, "--layers", "3-1"], "'3-1' names no layer"),
    "layer not there": ([*ASK, "--layers", "9"], r"does not expose layer 9 .*\. Choose from 0, 1"),
    "p": ([*ASK, "--mask-top-p", "1.5"], r"mask_top_p is 1\.5\. Give a number above 0, at most 1"),
    "p is no number": ([*ASK, "--mask-top-p", "some"], "'some' is not a valid float"),
    "variant": ([*ASK, "--variant", "v9"], "'v9' is not one of 'v1', 'v2', 'v3', 'v4'"),
    "regions": ([*ASK, "--max-regions", "0"], r"max_regions is 0\. Give a value at least 1"),
    "plain tokens": ([*ASK, "--plain", "--max-new-tokens", "0"], r"max_new_tokens is 0\. Give"),
    "plain with pictures": (
        [*ASK, "--plain", "--save-dir", "x"],
        r"--save-dir .*with --plain",
    ),
    "backend": ([*ASK, "--backend", "x"], r"'x' is not one of 'ort', 'openvino'"),
    "provider elsewhere": (
        [*ASK, "--backend", "openvino", "--provider", "cpu"],
        r"provider cpu is ONNX Runtime's, .*\. Leave the provider out",
    ),
    "picture for a question": (
        ["ask", "default", QUESTION, SCENE],
        r"scene-00\.jpg' is a picture\. The order is BUNDLE IMAGE QUESTION",
    ),
    "two pictures": ([*ASK, SCENE], r"The order is BUNDLE IMAGE QUESTION"),
    "plain with layers": ([*ASK, "--plain", "--layers", "1"], r"--layers .*with --plain"),
}


@pytest.mark.parametrize("name", WRONG_USE)
def test_wrong_use_exits_with_2(name: str) -> None:
    arguments, message = WRONG_USE[name]
    failed(carve_run(*arguments), 2, message)


FAILURES = {
    "no image": (["ask", "default", "missing.jpg", QUESTION], r"no file missing\.jpg\. Check"),
    "no picture": (["ask", "default", __file__, QUESTION], r"is not an image .*\. Give a JPEG"),
    "a folder": (["ask", "default", str(POCKET), QUESTION], r" is a folder\. Give one image"),
    "nothing piped in": (["ask", "default", "-", QUESTION], r"standard input is empty\. Pipe an"),
    "no bundle": (["ask", "missing", SCENE, QUESTION], r"missing is not a bundle: .*\. Give the"),
    "no question": (["ask", "default", SCENE, " "], r"question is empty\. Ask something"),
    "no provider": ([*ASK, "--provider", "cuda"], r"no CUDAExecutionProvider here .*\. Choose"),
    "no device": (
        [*ASK, "--backend", "openvino", "--device", "NPU"],
        r"no device NPU here \(available: CPU.*\. Choose",
    ),
    "long question": (["ask", "default", SCENE, "what " * 999], r"1024\. Shorten the question"),
}


def huge_png() -> bytes:
    """Return a PNG whose header promises 20000 x 20000 pixels."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    chunks = [b"IHDR" + header, b"IDAT" + compress(b""), b"IEND"]
    sizes = [struct.pack(">I", len(chunk) - 4) for chunk in chunks]
    sums = [struct.pack(">I", crc32(chunk)) for chunk in chunks]
    parts = zip(sizes, chunks, sums, strict=True)
    return b"\x89PNG\r\n\x1a\n" + b"".join(b"".join(part) for part in parts)


def picture_bytes(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height)).save(stream, "PNG")
    return stream.getvalue()


BAD_IMAGES = {
    "truncated": (Path(SCENE).read_bytes()[:5000], r"cannot be decoded: .*truncated.*\. Check"),
    "bomb": (huge_png(), r"is too large: .*\. Scale"),
    "one pixel": (picture_bytes(1, 1), r"the image is 1 x 1 pixels\. Give an image of at least"),
    "sliver": (picture_bytes(2000, 4), r"have a ratio of 500\. Crop"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_images_exit_with_1(name: str, tmp_path: Path) -> None:
    data, message = BAD_IMAGES[name]
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    failed(carve_run("ask", "default", path, QUESTION), 1, message)


BAD_BUNDLES: dict[str, tuple[str, Callable[[bytes], bytes | None], str]] = {
    "missing": ("onnx/embed_tokens.onnx", lambda data: None, r"is missing\. Copy the whole"),
    "truncated": ("onnx/embed_tokens.onnx", lambda data: data[:-9], r"bytes, the manifest says"),
    "swapped": ("onnx/embed_tokens.onnx", lambda data: data[::-1], r"its SHA-256 differs"),
    "schema": (
        "carve.json",
        lambda data: data.replace(b'"schema_version": 2', b'"schema_version": 9'),
        r"schema version 9; .*\. Upgrade",
    ),
    "image": ("carve.json", lambda data: data.replace(b'"fixed"', b'"x"'), r"Invalid value 'x'"),
}


@pytest.mark.parametrize("name", BAD_BUNDLES)
def test_bad_bundles_exit_with_1(name: str, tmp_path: Path) -> None:
    file, damage, message = BAD_BUNDLES[name]
    bundle = copied_pocket(tmp_path / "bundle")
    data = damage((bundle / file).read_bytes())
    (bundle / file).unlink()
    if data is not None:
        (bundle / file).write_bytes(data)
    failed(carve_run("ask", bundle, SCENE, QUESTION), 1, message)


@pytest.mark.parametrize("name", FAILURES)
def test_failures_exit_with_1_and_write_nothing(name: str, tmp_path: Path) -> None:
    arguments, message = FAILURES[name]
    out = ["--save-dir", tmp_path / "all", "--picture", tmp_path / "carve.png"]
    result = carve_run(*arguments, *out)
    failed(result, 1, message)
    assert result.stdout == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("--picture", "carve.orchid", r"carve\.orchid.*\. "),
        ("--picture", "carve", r"carve.*\. "),
        ("--picture", "carve.psd", r"carve\.psd.*\. End it in \.png"),
        ("--picture", "file.txt/carve.png", r"file\.txt.*\. "),
        ("--save-dir", "file.txt", r"file\.txt.*\. "),
    ],
)
def test_an_output_that_cannot_be_written(
    option: str, name: str, message: str, tmp_path: Path
) -> None:
    """Found before the model runs: nothing is answered, nothing written."""
    (tmp_path / "file.txt").write_text("keep")
    result = carve_run(*ASK, option, tmp_path / name)
    failed(result, 2, message)
    assert result.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]
    assert (tmp_path / "file.txt").read_text() == "keep"
