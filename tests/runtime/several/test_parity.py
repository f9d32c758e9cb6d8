"""Prompts about several images against Hugging Face's processors and models, for every family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from carve_models.families.family import PromptLayout
from carve_models.interface import FEATURE
from carve_runtime import Carve
from carve_runtime.prompt.chunk import prompt_ids
from carve_runtime.usage import Usage
from tests.comparing import assert_close
from tests.conftest import CheckpointOf, ExportOf
from tests.reference import Reference
from tests.support import CASES, PHOTOS

CLOSE = 1e-5
QUESTION = "Which one shows the blue circle?"
#: A case of each family.
NAMES = {case.family: name for name, case in reversed(CASES.items())}.values()
#: Sizes that the processors treat differently: whole, in tiles, thin, small.
SIZES = [(250, 187), (167, 301), (300, 60), (40, 48)]
#: How many images the prefix holds, and how many follow it: refined ones.
PROMPTS = [(2, 0), (3, 0), (2, 2)]


@dataclass(frozen=True)
class Subject:
    """A model in both forms."""

    vlm: Carve
    reference: Reference


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    photo = Image.open(PHOTOS / "landscape.jpg").convert("RGB")
    turns = [photo.rotate(90 * index) for index in range(len(SIZES))]
    return [turn.resize(size) for turn, size in zip(turns, SIZES, strict=True)]


@pytest.fixture(scope="module", params=NAMES)
def subject(
    request: pytest.FixtureRequest, checkpoint_of: CheckpointOf, export_of: ExportOf
) -> Subject:
    name = request.param
    reference = Reference(checkpoint_of(name), PromptLayout().suffix, CASES[name].family)
    return Subject(Carve.load(export_of(name, "ort").folder, image_cache_bytes=0), reference)


@torch.no_grad()
def hugging_face(reference: Reference, images: list[Image.Image]) -> tuple[Any, Any, Any, Any]:
    """Return ids (S,), positions (3, S) or (1, S), logits (V,), last rows of attention (L, S)."""
    inputs = reference.views.inputs(images, f"{QUESTION} {reference.suffix}")
    captured: dict[str, Any] = {}
    handle = reference.model.get_decoder().register_forward_pre_hook(
        lambda _, args, kwargs: captured.update(kwargs), with_kwargs=True
    )
    try:
        output = reference.model(**inputs, use_cache=False, output_attentions=True)
    finally:
        handle.remove()
    ids = inputs["input_ids"][0].numpy()
    given = captured.get("position_ids")
    positions = np.arange(len(ids))[None] if given is None else given.numpy().reshape(-1, len(ids))
    rows = np.stack([layer[0, :, -1].mean(dim=0).numpy() for layer in output.attentions])
    return ids, positions, output.logits[0, -1].numpy(), rows


@pytest.mark.parametrize(("shown", "more"), PROMPTS)
def test_a_prompt_is_that_of_hugging_face(
    shown: int, more: int, subject: Subject, images: list[Image.Image]
) -> None:
    ids, positions, logits, rows = hugging_face(subject.reference, images[: shown + more])
    model = subject.vlm._model
    request = model.requests.plain(QUESTION, images=shown, refined=more)
    arrays = [np.asarray(image) for image in images]
    encoded = model.encode_images(arrays[:shown], request.budget, Usage())
    refined = model.encode_refined(encoded, arrays[shown : shown + more], request)
    prompt = request.prompt.behind(shown, more)
    chunk = model.embed(prompt, [*encoded.features, *refined], encoded.prefix.next_position)
    with model.decoder.lend(encoded.prefix, chunk.length, request.usage.counts) as cache:
        step = model.decoder.step(chunk, cache, request.usage.counts)

    inputs = [*encoded.model_inputs, *(each.model_input for each in refined)]
    own = prompt_ids([*model.requests.prefix(shown), *prompt], inputs)
    is_image = ids == subject.reference.model.config.image_token_id
    np.testing.assert_array_equal(own == FEATURE, is_image)
    np.testing.assert_array_equal(own[~is_image], ids[~is_image])
    own_positions = np.concatenate([encoded.prefix.positions, chunk.positions], axis=-1)
    axes = own_positions.reshape(-1, len(ids))
    np.testing.assert_array_equal(axes, positions[-len(axes) :])
    assert_close(step.logits, logits, rtol=0, atol=CLOSE * np.abs(logits).max())
    tapped = model.manifest.decoder.tapped_layers
    assert_close(step.attention, rows[list(tapped)], rtol=0, atol=CLOSE)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_maps_are_cut_from_the_right_places(
    count: int, subject: Subject, images: list[Image.Image]
) -> None:
    """Each image's map holds what Hugging Face's model pays to that image's tokens."""
    _, _, _, rows = hugging_face(subject.reference, images[:count])
    ids = subject.reference.views.inputs(images[:count], f"{QUESTION} {subject.reference.suffix}")
    is_image = ids["input_ids"][0].numpy() == subject.reference.model.config.image_token_id
    places = np.flatnonzero(is_image)
    changes: Any = {"contrast": "off", "max_new_tokens": 1, "max_regions": 1, "rule": "paper"}
    result = subject.vlm.ask(images[:count], QUESTION, final_prompt="refined", **changes)
    begin = 0
    for image, part in zip(images, result.images, strict=False):
        map_tokens = subject.reference.views.map_tokens(image)
        assert part.grid == map_tokens.shape
        where = places[begin + map_tokens.ravel()]
        expected = rows[list(result.settings.layers)][:, where]
        assert_close(part.question_attention[0], expected, rtol=0, atol=CLOSE)
        alone = subject.reference.views.inputs([image], QUESTION)["input_ids"][0].numpy()
        begin += int((alone == subject.reference.model.config.image_token_id).sum())


@pytest.mark.parametrize("final_prompt", ["pair", "refined"])
def test_a_list_of_one_is_that_one(
    final_prompt: Any, subject: Subject, images: list[Image.Image]
) -> None:
    changes: Any = {"final_prompt": final_prompt, "max_new_tokens": 4}
    one = subject.vlm.ask(images[0], QUESTION, **changes)
    listed = subject.vlm.ask([images[0]], QUESTION, **changes)
    (part,) = listed.images
    assert listed.token_ids == one.token_ids
    assert listed.plain_token_ids == one.plain_token_ids
    assert listed.plain_probability == one.plain_probability
    assert listed.entropy == one.entropy
    assert (part.bbox, part.grid, part.window) == (one.bbox, one.grid, one.window)
    for name in ("saliency", "mask", "refined_image", "question_attention", "general_attention"):
        np.testing.assert_array_equal(getattr(part, name), getattr(one, name), err_msg=name)
    assert listed.counts == one.counts
    plain = [subject.vlm.plain(given, QUESTION) for given in (images[0], [images[0]])]
    assert plain[0].token_ids == plain[1].token_ids
