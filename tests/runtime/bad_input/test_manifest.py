"""A manifest that is malformed, names what is not there, or is of another version."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carve_models.manifest import SCHEMA_VERSION
from carve_runtime import (
    BundleError,
    Carve,
    SchemaError,
)
from carve_runtime.bundle import open_bundle
from tests.runtime.bad_input.damage import (
    EMBED,
    change_manifest,
    refused,
)
from tests.support import SCENES

SCENE = SCENES / "scene-00.jpg"
QUESTION = "What letter is on the blue cross?"


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
