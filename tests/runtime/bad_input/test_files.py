"""Files of a bundle that are missing, changed, swapped, links, pipes, or not listed."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx.external_data_helper import convert_model_to_external_data

from carve_runtime import (
    BundleError,
    Carve,
)
from carve_runtime.external_data import external_locations
from tests.conftest import ExportOf
from tests.runtime.bad_input.damage import (
    DECODER,
    EMBED,
    VISION,
    list_again,
    refused,
)
from tests.support import SCENES

SCENE = SCENES / "scene-00.jpg"
QUESTION = "What letter is on the blue cross?"


@pytest.mark.parametrize("name", [VISION, EMBED, DECODER, "tokenizer.json", "config.json"])
def test_missing_and_truncated_files(bundle: Path, name: str) -> None:
    path = bundle / name
    os.truncate(path, path.stat().st_size - 1)
    refused(bundle, BundleError, rf"{name} has \d+ bytes, the manifest says \d+\. Copy the bundle")
    refused(bundle, BundleError, rf"{name} has \d+ bytes", verify=False)
    path.unlink()
    refused(bundle, BundleError, rf"{name} is missing\. Copy the whole bundle")


def test_one_flipped_byte(bundle: Path) -> None:
    data = bytearray((bundle / DECODER).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / DECODER).write_bytes(data)
    refused(bundle, BundleError, r"SHA-256 differs\)\. Copy the bundle again")


def test_swapped_graphs(bundle: Path) -> None:
    first, second = bundle / VISION, bundle / EMBED
    aside = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(aside)
    refused(bundle, BundleError, r"bytes, the manifest says")
    list_again(bundle, VISION, EMBED)
    refused(bundle, BundleError, r"input_ids: .* expected pixel_values", verify=False)
    first.write_bytes(b"not a graph")
    list_again(bundle, VISION)
    refused(bundle, BundleError, r"vision_encoder\.onnx cannot be loaded: .*\. Export")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (VISION, r"expected .*\. .*swapped"),
        (EMBED, r"expected .*\. .*swapped"),
        # Its halves, which are loaded first, read their weights from its file.
        (DECODER, r"cannot be loaded: .*Export the checkpoint again"),
    ],
)
def test_a_graph_of_another_model(
    bundle: Path, name: str, message: str, export_of: ExportOf
) -> None:
    """Same tensor names, other shapes: seen when it is loaded, not in the middle of an answer."""
    shutil.copy(export_of("llava-clip-gqa", "ort").folder / name, bundle / name)
    refused(bundle, BundleError, r"bytes, the manifest says")
    list_again(bundle, name)
    refused(bundle, BundleError, message, verify=False)


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff\xfe", b'{"version": "1.0", "model": 7}'])
def test_a_tokenizer_that_is_none(bundle: Path, data: bytes) -> None:
    (bundle / "tokenizer.json").write_bytes(data)
    list_again(bundle, "tokenizer.json")
    refused(bundle, BundleError, r"tokenizer\.json is not a tokenizer: .*\. Export the checkpoint")


def test_no_bundle_at_all(tmp_path: Path) -> None:
    refused(tmp_path / "absent", BundleError, r"absent is not a bundle: carve\.json .*No such file")
    refused(tmp_path, BundleError, r"is not a bundle: .*\. Give the folder that carve-export wrote")
    (tmp_path / "carve.json").mkdir()
    refused(tmp_path, BundleError, r"is not a bundle: .*directory")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("name", ["carve.json", "config.json", VISION])
def test_a_pipe_in_place_of_a_file(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    os.mkfifo(bundle / name)
    refused(bundle, BundleError, r"Not a regular file|is missing")


def test_a_link_to_itself(bundle: Path) -> None:
    for name in ("config.json", "carve.json"):
        (bundle / name).unlink()
        (bundle / name).symlink_to(name)
        refused(bundle, BundleError, r"\. (Copy|Give|Check)")
    refused(bundle / "a\0b", BundleError, r"is not a bundle: .*null (byte|character)")


@pytest.mark.parametrize("name", ["config.json", EMBED, "tokenizer.json"])
@pytest.mark.parametrize("step", ["stat", "open"])
def test_a_file_that_vanishes_while_it_is_checked(
    bundle: Path, name: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unchanged = getattr(Path, step)

    def vanish(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == bundle / name and (step == "open" or sys._getframe(1).f_code.co_name == "of"):
            path.unlink(missing_ok=True)
        return unchanged(path, *arguments, **options)

    monkeypatch.setattr(Path, step, vanish)
    refused(
        bundle, BundleError, r"cannot be (read|loaded).*No such file.*\. (Check|Copy)", verify=True
    )


def test_weights_in_a_file_that_is_not_listed(bundle: Path) -> None:
    """Nobody would have compared their sum."""
    halves = [f"onnx/{name}.onnx" for name in ("decoder_lower", "decoder_upper")]
    model = onnx.load(bundle / EMBED)
    convert_model_to_external_data(model, location="weights", size_threshold=0)
    onnx.save(model, bundle / EMBED)
    list_again(bundle, EMBED)
    refused(bundle, BundleError, r"has weights in 'weights', which the manifest does not list")
    list_again(bundle, "onnx/weights")
    assert Carve.load(bundle).plain(SCENE, QUESTION).answer
    for name in halves:
        assert external_locations(bundle / name) == {"decoder_model_merged.onnx"}
    (bundle / EMBED).write_bytes(b"\x3a\xff\x01")
    list_again(bundle, EMBED)
    refused(bundle, BundleError, r"embed_tokens\.onnx cannot be loaded: .*\. Export")


@pytest.mark.parametrize("name", [EMBED, "onnx"])
def test_links_that_leave_the_bundle(bundle: Path, name: str) -> None:
    outside = bundle.parent / "outside"
    (bundle / name).rename(outside)
    (bundle / name).symlink_to(outside)
    refused(bundle, BundleError, r"is a link that leaves the bundle\. Copy the file itself")
