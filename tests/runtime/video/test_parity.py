"""Frames, pixels, prompts, positions, logits and attention as Hugging Face has them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoTokenizer
from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize

from carve_models import names
from carve_models.image_rules import NativeImage
from carve_models.interface import FEATURE
from carve_models.video_rules.rule import ClipPixels
from carve_runtime import Carve, VideoSession
from carve_runtime.images.model_input import ModelInput
from carve_runtime.video.moments import resize_clip
from carve_runtime.video.sampling import sampled
from tests.comparing import assert_close
from tests.conftest import CheckpointOf, ExportOf
from tests.runtime.video.cases import CLIPS, FAMILIES, QUESTION, Clip

GOLDENS = Path(__file__).parent / "goldens"
CLOSE = 1e-5
STEPS = 4
#: What stands for a moment in Hugging Face's ids.
TOKENS = {
    "qwen2_5_vl": "<|video_pad|>",
    "qwen3_vl": "<|video_pad|>",
    "smolvlm": "<image>",
    "internvl": "<IMG_CONTEXT>",
}


@cache
def processed() -> dict[str, Any]:
    """Return what Hugging Face's processors make of the clips."""
    documents: dict[str, Any] = json.loads((GOLDENS / "processed.json").read_text())
    return documents


class Seen:
    """A bundle's session about a clip, and what its vision encoder was fed."""

    def __init__(self, folder: Path, clip: Clip) -> None:
        self.vlm = Carve.load(folder)
        self.inputs: list[ModelInput] = []
        model = self.vlm._model
        usual = model.image_features

        def watched(model_input: ModelInput, counts: Any) -> Any:
            self.inputs.append(model_input)
            return usual(model_input, counts)

        model.image_features = watched  # type: ignore[method-assign]
        self.session: VideoSession = self.vlm.open_video(clip.video())

    @property
    def pixels(self) -> Any:
        return np.concatenate([each.feeds[names.PIXEL_VALUES] for each in self.inputs])

    def prompt(self, text: str) -> list[Any]:
        session = self.session
        return [*session._clip.before, *session._behind(text)]

    def levels(self) -> Any:
        """Return the pixels as the goldens have them."""
        pixels, rule = self.pixels.astype(np.float64), self.vlm.manifest.video
        assert rule is not None
        pixels = pixels if pixels.ndim > 2 else pixels.reshape(len(pixels), 3, -1)
        shape = (1, 3, *[1] * (pixels.ndim - 2))
        mean = np.asarray(rule.frames.mean).reshape(shape)
        std = np.asarray(rule.frames.std).reshape(shape)
        return np.rint((pixels * std + mean) * 255)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_frames_that_are_seen(name: str, export_of: ExportOf) -> None:
    rule = export_of(name, "ort").manifest.video
    assert rule is not None
    for key, expected in processed()[name].items():
        count, fps = key.split()
        actual = sampled(int(count), float(fps), rule.sampling)
        if expected is None:  # Hugging Face fails
            assert actual == list(range(int(count))), key
        else:
            assert actual == [index for index in expected if index < int(count)], key


def test_sizes_within_the_limits_of_a_clip() -> None:
    random = np.random.default_rng(0)
    limits = ClipPixels(fewest=128 * 32 * 32, most=768 * 32 * 32)
    rule = NativeImage(
        min_pixels=1024, max_pixels=1024, patch_size=16, merge_size=2, temporal_patch_size=2
    )
    for _ in range(500):
        count, height, width = (int(random.integers(2, most)) for most in (64, 900, 1400))
        if max(height, width) / min(height, width) > 100:
            continue
        expected = smart_resize(count, height, width, 2, 32, limits.fewest, limits.most)
        assert resize_clip(height, width, rule, count=count, limits=limits) == expected


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.slug)
@pytest.mark.parametrize("name", FAMILIES)
def test_prompt_and_pixels(name: str, clip: Clip, export_of: ExportOf) -> None:
    golden = processed()[f"{name}/{clip.name}"]
    seen = Seen(export_of(name, "ort").folder, clip)
    session = seen.session
    assert session.counts.vision_runs == len(session.seen.moments) == len(seen.inputs)
    if "refused" in golden:  # by Hugging Face; here one frame fills its moment
        assert session.seen.frames == [0]
        return
    assert session.seen.frames == golden["frames"]
    ids = np.asarray(golden["ids"])
    tokenizer = AutoTokenizer.from_pretrained(export_of(name, "ort").folder)
    is_image = ids == tokenizer.convert_tokens_to_ids(TOKENS[name])
    attention = session.attend(QUESTION)
    asked = attention.moments[0].ids
    suffix = seen.vlm._model.text.encode(f" {seen.vlm.manifest.prompts.suffix}")
    literal = asked[asked != FEATURE].tolist()
    whole = "".join(tokenizer.convert_ids_to_tokens(literal))
    expected = "".join(tokenizer.convert_ids_to_tokens(ids[~is_image].tolist()))
    spelled = "".join(tokenizer.convert_ids_to_tokens(suffix.tolist()))
    assert whole.replace(spelled, "", 1) == expected
    assert (asked == FEATURE).sum() == is_image.sum()
    expected_pixels = np.load(GOLDENS / "pixels.npz")[f"{name}/{clip.name}"]
    difference = np.abs(seen.levels() - expected_pixels)
    assert difference.max() <= 1  # torchvision rounds otherwise than Pillow, here and there
    assert difference.mean() < 0.1


def hugging_face_inputs(name: str, seen: Seen, folder: Path) -> dict[str, Any]:
    """Return the inputs of Hugging Face's model, with our ids and pixels."""
    parts = seen.prompt(QUESTION)
    ids = np.concatenate(
        [
            seen.session._clip.images.model_inputs[part].ids if isinstance(part, int) else part
            for part in parts
        ]
    )
    token = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(TOKENS[name])
    is_image = ids == FEATURE
    inputs: dict[str, Any] = {
        "input_ids": torch.tensor(np.where(is_image, token, ids))[None],
    }
    pixels = torch.tensor(seen.pixels)
    golden = processed()[f"{name}/{CLIPS[2].name}"]
    if "video_grid_thw" not in golden:
        return inputs | {"pixel_values": pixels[None] if name == "smolvlm" else pixels}
    rows, columns = (2 * side for side in seen.inputs[0].grid)
    inputs["pixel_values_videos"] = pixels
    inputs["video_grid_thw"] = torch.tensor([[len(seen.inputs), rows, columns]])
    inputs["mm_token_type_ids"] = torch.tensor(np.where(is_image, 2, 0))[None]
    if "second_per_grid_ts" in golden:
        shown = seen.session.seen
        clip_count = round(shown.seconds * shown.fps)
        frames = len(dict.fromkeys(shown.frames))
        inputs["second_per_grid_ts"] = torch.tensor([2 / (frames / clip_count * shown.fps)])
    return inputs


@torch.no_grad()
@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.slug)
@pytest.mark.parametrize("name", FAMILIES)
def test_attention_and_answer(
    name: str, clip: Clip, export_of: ExportOf, checkpoint_of: CheckpointOf
) -> None:
    folder = export_of(name, "ort").folder
    seen = Seen(folder, clip)
    model = AutoModelForImageTextToText.from_pretrained(
        checkpoint_of(name), dtype=torch.float32, attn_implementation="eager"
    ).eval()
    inputs = hugging_face_inputs(name, seen, folder)
    expected = model.generate(
        **inputs,
        max_new_tokens=STEPS,
        do_sample=False,
        output_attentions=True,
        output_logits=True,
        return_dict_in_generate=True,
    )
    length = inputs["input_ids"].shape[1]
    actual = seen.session.attend(QUESTION, generate=STEPS)
    maps = actual.moments[0]
    decided = expected.sequences[0, length:].tolist()
    assert maps.ids[length:].tolist() == decided[: maps.steps][:-1]
    assert maps.steps == len(decided)
    for step, layers in enumerate(expected.attentions):
        for layer in maps.layers:
            row = layers[layer][0, :, -1].mean(dim=0).numpy()
            assert_close(maps.row(step, layer), row, rtol=0, atol=CLOSE)
    # In one piece instead of a prefix and what follows it.
    runtime, images = seen.vlm._model, seen.session._clip.images
    chunk = runtime.embed(seen.prompt(QUESTION), images.features)
    whole = runtime.decoder.step(chunk, runtime.decoder.empty(length), seen.session.counts)
    assert_close(whole.logits, expected.logits[0][0].numpy(), rtol=0, atol=2e-4)
    if "video_grid_thw" in inputs:
        names_of = {key: value for key, value in inputs.items() if key != "pixel_values_videos"}
        positions, _ = model.model.get_rope_index(**names_of)
        np.testing.assert_array_equal(chunk.positions, positions.numpy())
    total = actual.over_time(layer=maps.layers[0]).sum()
    assert total == pytest.approx(maps.mass()[0, 0], abs=1e-6)
