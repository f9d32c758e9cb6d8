"""Wrong bundles, questions and settings: a typed error that says what is wrong and what to do."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.external_data_helper import convert_model_to_external_data

from carve_models.manifest import SCHEMA_VERSION
from carve_runtime import (
    BundleError,
    Carve,
    CarveError,
    ImageError,
    PromptError,
    SchemaError,
    SettingsError,
)
from carve_runtime.bundle import open_bundle
from carve_runtime.external_data import external_locations
from tests.conftest import ExportOf
from tests.support import POCKET, SCENES

SCENE = SCENES / "scene-00.jpg"
QUESTION = "What letter is on the blue cross?"
VISION, EMBED, DECODER = (
    f"onnx/{name}.onnx" for name in ("vision_encoder", "embed_tokens", "decoder_model_merged")
)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return a copy of the pocket bundle, to be damaged."""
    ignored = shutil.ignore_patterns("checkpoint", "example.jpg")
    return Path(shutil.copytree(POCKET, tmp_path / "bundle", ignore=ignored))


def change_manifest(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = bundle / "carve.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def list_again(bundle: Path, *names: str) -> None:
    """Make the manifest agree with files that were changed on purpose."""

    def change(manifest: dict[str, Any]) -> None:
        for name in names:
            data = (bundle / name).read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            manifest["files"][name] = {"size": len(data), "sha256": digest}

    change_manifest(bundle, change)


def refused(bundle: Path, kind: type[CarveError], message: str, **options: Any) -> None:
    """Check that a bundle is refused, by the right error with cause and remedy."""
    with pytest.raises(kind, match=message) as caught:
        Carve.load(bundle, **options)
    assert caught.type is kind
    assert caught.value.cause
    assert caught.value.remedy


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


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"llava"', '{"schema_version": "1"}'])
def test_a_manifest_that_is_none(bundle: Path, text: str) -> None:
    (bundle / "carve.json").write_text(text)
    refused(bundle, BundleError, r"carve\.json is malformed: .*\. Export the checkpoint again")


BAD_MANIFESTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "wrong type": (lambda m: m.update(opset="18"), r"malformed: Expected `int`.*opset"),
    "missing field": (lambda m: m.pop("decoder"), r"malformed: .*missing.*decoder"),
    "short tuple": (lambda m: m["image"].update(grid=[24]), r"malformed: .*image\.grid"),
    "empty segment": (lambda m: m["prompts"]["pair"].append({}), r"malformed: .*exactly one of"),
    "bad default": (lambda m: m["defaults"].update(mask_top_p=7), r"malformed: mask_top_p is 7"),
    "bad profile": (lambda m: m.update(profile="gpu"), r"malformed: Invalid enum value 'gpu'"),
    "no such graph": (lambda m: m["graphs"].pop("embed_tokens"), r"embed_tokens.*\. Export"),
    "unlisted graph": (lambda m: m["files"].pop(EMBED), rf"does not list {EMBED}\. Export"),
    "unlisted tokenizer": (lambda m: m["files"].pop("tokenizer.json"), r"list tokenizer\.json"),
    "layers": (lambda m: m["decoder"].update(layers=5), r"decoder_model_merged is .*expected past"),
    "heads": (
        lambda m: m["decoder"].update(key_value_heads=2),
        r"expected past_key_values\.0\.key",
    ),
    "image size": (lambda m: m["image"].update(size=[60, 60]), r"malformed: the image rule"),
    "tapped too deep": (lambda m: m["decoder"].update(tapped_layers=[1, 9]), r"no layer 9 to tap"),
    "tapped twice": (lambda m: m["decoder"].update(tapped_layers=[1, 1]), r"not distinct"),
    "tapped fewer": (lambda m: m["decoder"].update(tapped_layers=[0, 1]), r"expected decoder_att"),
    "default layer": (lambda m: m["defaults"].update(layers=[7]), r"default layer 7 is not tapped"),
    "grid too large": (lambda m: m["image"].update(grid=[12, 13]), r"grid .* is not the size"),
    "grid too small": (lambda m: m["image"].update(grid=[6, 12]), r"grid .* is not the size"),
    "patch size": (lambda m: m["image"].update(patch_size=7), r"grid .* in patches of 7"),
    "grid and patches": (
        lambda m: m["image"].update(grid=[6, 6], patch_size=20),
        r"expected image_features: .*36",
    ),
    "deep": (
        lambda m: m["decoder"].update(layers=1 << 24),
        r"has 16777216 layers, and lists \d+",
    ),
    "token of 33 bits": (
        lambda m: m["decoder"].update(image_token_id=1 << 32),
        r"Expected `int` <=",
    ),
    "aspect": (
        lambda m: m["image"].update(max_aspect_ratio=0.5),
        r"aspect_ratio 0\.5 is below",
    ),
    "rescale": (
        lambda m: m["image"].update(rescale_factor=0),
        r"factor 0\.0 is not positive",
    ),
    "negative std": (lambda m: m["image"].update(std=[-1.0, 1, 1]), r"std .* is not positive"),
    "sliver": (
        lambda m: m["image"].update(resize_shortest_edge=9999),
        r"9999 makes pictures of",
    ),
    "huge number": (lambda m: m["decoder"].update(layers=10**4000), r"malformed: .*"),
    "huge setting": (lambda m: m["defaults"].update(regularizer=10**400), r"malformed: .*"),
    "name with NUL": (
        lambda m: m["files"].update({"a\0b": m["files"]["config.json"]}),
        r"names 'a\\x00b', outside the bundle",
    ),
    "head size": (lambda m: m["decoder"].update(head_dim=10**18), r"malformed: Expected `int` <="),
    "negative image": (lambda m: m["prompts"]["pair"][1].update(image=-1), r"Expected `int` >= 0"),
    "third image": (lambda m: m["prompts"]["pair"][2].update(image=3), r"needs images \[0, 1\]"),
    "no question": (lambda m: m["prompts"]["single"].pop(), r"'single' needs .*\{text\} once"),
    "token": (lambda m: m["prompts"]["pair"].append({"ids": [99999]}), r"use token 99999, beyond"),
    "resize": (lambda m: m["image"].update(resize_to=[0, 0]), r"malformed: Expected `int` >= 1"),
    "crop": (lambda m: m["image"].update(crop=[10**6] * 2), r"malformed: Expected `int` <="),
    "color": (lambda m: m["image"].update(pad_color=[999, 0, 0]), r"malformed: Expected `int` <="),
    "no kind": (lambda m: m["image"].pop("kind"), r"malformed: .*missing required field `kind`"),
    "kind": (lambda m: m["image"].update(kind="round"), r"malformed: Invalid value 'round'"),
    "other kind": (lambda m: m["image"].update(kind="native"), r"missing.*`min_pixels`"),
    "positions": (lambda m: m["decoder"].update(positions="mrope"), r"expected position_ids: .*3,"),
    "deepstack": (lambda m: m["decoder"].update(deepstack_layers=2), r"expected deepstack_feature"),
    "std": (lambda m: m["image"].update(std=[0.0, 1, 1]), r"malformed: std .* is not positive"),
    "dtype": (
        lambda m: m["graphs"]["vision_encoder"]["inputs"][0].update(dtype="float16"),
        r"is pixel_values: float16.*expected pixel_values: float32",
    ),
    "no outputs": (lambda m: m["graphs"]["embed_tokens"].update(outputs=[]), r"is nothing, expect"),
    "an output too few": (
        lambda m: m["graphs"]["preprocess"]["outputs"].pop(),
        r"of the manifest's preprocess is nothing, expected least_pixels: int64\(\)",
    ),
    "no end": (lambda m: m["decoder"].update(eos_token_ids=[]), r"no end-of-sequence id"),
    "no image first": (lambda m: m["prompts"]["single"].reverse(), r"do not start alike, with"),
}


@pytest.mark.parametrize("name", BAD_MANIFESTS)
def test_a_malformed_manifest(bundle: Path, name: str) -> None:
    change, message = BAD_MANIFESTS[name]
    change_manifest(bundle, change)
    refused(bundle, BundleError, message)


def test_a_huge_count_is_refused_at_once(bundle: Path) -> None:
    """Before names of that many caches are made up: memory stays as it is."""
    change_manifest(bundle, BAD_MANIFESTS["deep"][0])
    tracemalloc.start()
    refused(bundle, BundleError, r"16777216 layers")
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("data", [b'{"a": "\xff"}', b"[" * 100_000, b"\0", b"{}\0"])
def test_bytes_that_are_no_document(bundle: Path, data: bytes) -> None:
    (bundle / "carve.json").write_bytes(data)
    refused(bundle, BundleError, r"carve\.json is malformed: .*\. Export the checkpoint again")


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


def without_preprocess(manifest: dict[str, Any]) -> None:
    manifest["graphs"].pop("preprocess")


def with_fixed_preprocess(manifest: dict[str, Any]) -> None:
    """Describe the graph of earlier bundles: no budget, nothing of the prompt."""
    graph = manifest["graphs"]["preprocess"]
    graph["inputs"] = [tensor for tensor in graph["inputs"] if tensor["name"] == "image"]
    seen = ("pixel_values", "window")
    graph["outputs"] = [tensor for tensor in graph["outputs"] if tensor["name"] in seen]


@pytest.mark.parametrize("made_before", [without_preprocess, with_fixed_preprocess])
def test_a_bundle_made_before_opens(
    bundle: Path, made_before: Callable[[dict[str, Any]], None]
) -> None:
    """The runtime does not run ``preprocess.onnx``; programs that do say so themselves."""
    change_manifest(bundle, made_before)
    assert open_bundle(bundle).manifest.family == "llava"


def test_another_schema(bundle: Path) -> None:
    """The version is judged first: the rest of a newer manifest may look like anything."""
    for version, remedy in ((SCHEMA_VERSION + 1, "Upgrade carve-vlm"), (0, "Export")):
        (bundle / "carve.json").write_text(json.dumps({"schema_version": version, "graphs": 3}))
        refused(bundle, SchemaError, rf"version {version}; .* reads {SCHEMA_VERSION}\. {remedy}")


def test_a_family_of_another_package(bundle: Path) -> None:
    """A bundle says all that the runtime needs to know; its family's name is a label."""
    change_manifest(bundle, lambda manifest: manifest.update(family="orchid"))
    assert Carve.load(bundle).manifest.family == "orchid"


@pytest.mark.parametrize("name", ["../outside.onnx", "/outside.onnx", "onnx/../../x", "C:\\x", ""])
@pytest.mark.parametrize("where", ["files", "graphs"])
def test_paths_that_leave_the_bundle(bundle: Path, name: str, where: str) -> None:
    (bundle.parent / "outside.onnx").write_bytes((bundle / EMBED).read_bytes())

    def change(manifest: dict[str, Any]) -> None:
        manifest["files"][name] = manifest["files"].pop(EMBED)
        if where == "graphs":
            manifest["graphs"]["embed_tokens"]["file"] = name

    change_manifest(bundle, change)
    refused(bundle, BundleError, r"outside the bundle\. Do not use" if name else r"\. ")


@pytest.mark.parametrize("name", [EMBED, "onnx"])
def test_links_that_leave_the_bundle(bundle: Path, name: str) -> None:
    outside = bundle.parent / "outside"
    (bundle / name).rename(outside)
    (bundle / name).symlink_to(outside)
    refused(bundle, BundleError, r"is a link that leaves the bundle\. Copy the file itself")


BAD_SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"nonsense": 1}, r"no setting named 'nonsense'\. Choose from .*mask_top_p"),
    ({"variant": "v9"}, r"variant is 'v9'\. Choose one of v1, v2, v3, v4"),
    ({"layers": [4]}, r"does not expose layer 4 of its 4 layers\. Choose from 0, 1, 2, 3"),
    ({"layers": []}, r"layers is empty\. Name at least one"),
    ({"layers": [1, 1]}, r"layers \[1, 1\] repeat\. Name each layer once"),
    ({"layers": "high"}, r"layers.*high"),
    ({"layers": 3}, r"layers.*3"),
    ({"steps": "second"}, r"steps is 'second'\. Choose one of first, all, last"),
    (
        {"resize_refined": "thrice"},
        r"resize_refined is 'thrice'\. Choose one of by_size, twice, once",
    ),
    ({"geometry": "flat"}, r"geometry is 'flat'\. Choose one of input, released"),
    ({"mask_top_p": 1.5}, r"mask_top_p is 1\.5\. Give a value between 0 and 1"),
    ({"mask_top_p": -0.1}, r"mask_top_p is -0\.1\. Give a value"),
    ({"mask_top_p": float("nan")}, r"mask_top_p is nan\. Give a value"),
    ({"mask_top_p": 0.0}, r"mask_top_p is 0\.0\. Give a value"),  # the documented range is (0, 1]
    ({"mask_top_p": "0.3"}, r"mask_top_p is '?0\.3'?\. Give a"),
    ({"max_regions": 0}, r"max_regions is 0\. Give a value at least 1"),
    ({"max_regions": 2.5}, r"max_regions is 2\.5\. Give a"),
    ({"max_new_tokens": 0}, r"max_new_tokens is 0\. Give a value at least 1"),
    ({"max_new_tokens": 1.5}, r"max_new_tokens is 1\.5\. Give a"),
    ({"regularizer": -1.0}, r"regularizer is -1\.0\. Give a value at least 0"),
    ({"outlier_percent": 101}, r"outlier_percent is 101\. Give a value between 0 and 100"),
    ({"max_refined_pixels": 0}, r"max_refined_pixels is 0\. Give a value at least 1"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_SETTINGS)
def test_bad_settings(pocket: Carve, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        pocket.ask(SCENE, QUESTION, **changes)


@pytest.mark.parametrize("ask", [Carve.ask, Carve.plain])
def test_bad_questions(pocket: Carve, ask: Callable[..., object]) -> None:
    for empty in ("", " \n\t"):
        with pytest.raises(PromptError, match=r"question is empty\. Ask something"):
            ask(pocket, SCENE, empty)
    too_long = r"prompt of \d+ tokens .* need \d+ positions, the model has 1024\. Shorten"
    with pytest.raises(PromptError, match=too_long):
        ask(pocket, SCENE, "what " * 1000)
    with pytest.raises(PromptError, match=too_long):
        ask(pocket, SCENE, QUESTION, max_new_tokens=1024)


@pytest.mark.parametrize("ask", [Carve.ask, Carve.plain])
def test_a_listener_that_cannot_be_called(pocket: Carve, ask: Callable[..., object]) -> None:
    """Told before the image is read, and before a pass that it would hear of."""
    with pytest.raises(SettingsError, match=r"on_token is 'print'\. Give a function of one Token"):
        ask(pocket, "no such image", QUESTION, on_token="print")


def test_extreme_aspect_ratios(pocket: Carve) -> None:
    for shape in ((2, 402, 3), (402, 2, 3)):
        with pytest.raises(ImageError, match=r"ratio of 201\. Crop the image to a ratio .* 200"):
            pocket.ask(np.zeros(shape, np.uint8), QUESTION)
    for shape in ((2, 400, 3), (400, 2, 3)):
        assert pocket.ask(np.zeros(shape, np.uint8), QUESTION).mask.shape == shape[:2]
