"""Run one greedy pass and keep all its attention."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from carve_runtime.attention.attention import Attention
from carve_runtime.decoder.encoded import EncodedImages
from carve_runtime.decoder.model import Model
from carve_runtime.prompt.chunk import prompt_ids
from carve_runtime.prompt.request import Request
from carve_runtime.prompt.text import PromptPart


def collect(
    model: Model, image: EncodedImages, image_size: tuple[int, int], request: Request
) -> Attention:
    """Answer a request plainly; return what every step attended to.

    Args:
        model: what answers.
        image: what it is asked about, one.
        image_size: (W, H) in pixels.
        request: a plain one, whose limit is that of the steps.

    Raises:
        PromptError: prompt and answer may need more positions than the model has.
    """
    before, behind = model.requests.prefix(), request.prompt.single
    (attention,) = collect_maps(model, image, (before, behind), image_size, request)
    return attention


def collect_maps(
    model: Model,
    images: EncodedImages,
    prompt: tuple[Sequence[PromptPart], Sequence[PromptPart]],
    image_size: tuple[int, int],
    request: Request,
) -> list[Attention]:
    """Do the same about several images of one size; return it for the map of each.

    An image of several moments has a map for each of them. All share the rows.

    Args:
        model: what answers.
        images: what it is asked about.
        prompt: what stands in the prefix, and what follows it.
        image_size: (W, H) in pixels.
        request: a plain one, whose limit is that of the steps.
    """
    steps: list[NDArray[np.float32]] = []
    decided: list[int] = []

    def keep(rows: NDArray[np.float32], token: int) -> None:
        steps.append(rows)
        decided.append(token)

    before, behind = prompt
    answer = model.answer(images, behind, "question", request, on_step=keep)
    length = steps[-1].shape[-1]
    rows = np.zeros((len(steps), *steps[-1].shape), np.float32)
    for target, step in zip(rows, steps, strict=True):
        target[..., : step.shape[-1]] = step
    asked = prompt_ids([*before, *behind], images.model_inputs)
    ids = np.concatenate([asked, decided[:-1]]).astype(np.int64)
    assert len(ids) == length
    tokens, words = model.text.words(ids.tolist()), model.text.words(decided)
    grids = [(each.grid, each.window) for each in images.model_inputs for _ in each.times]
    return [
        Attention(
            rows=rows,
            layers=model.manifest.decoder.tapped_layers,
            ids=ids,
            tokens=tuple(tokens),
            words=tuple(words),
            answer=model.text.decode(answer.ids),
            map_tokens=map_tokens,
            grid=grid,
            window=window,
            image_size=image_size,
        )
        for map_tokens, (grid, window) in zip(
            np.split(images.map_tokens, len(grids)), grids, strict=True
        )
    ]
