"""Run one greedy pass and keep all its attention."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carve_runtime.attention.attention import Attention
from carve_runtime.decoder.model import EncodedImage, Model
from carve_runtime.prompt.chunk import prompt_ids
from carve_runtime.prompt.request import Request


def collect(
    model: Model, image: EncodedImage, image_size: tuple[int, int], request: Request
) -> Attention:
    """Answer a request plainly; return what every step attended to.

    Args:
        model: what answers.
        image: what it is asked about.
        image_size: (W, H) in pixels.
        request: a plain one, whose limit is that of the steps.

    Raises:
        PromptError: prompt and answer may need more positions than the model has.
    """
    steps: list[NDArray[np.float32]] = []
    decided: list[int] = []

    def keep(rows: NDArray[np.float32], token: int) -> None:
        steps.append(rows)
        decided.append(token)

    prompt = request.prompt.single
    answer = model.answer(image, prompt, "question", request, on_step=keep)
    length = steps[-1].shape[-1]
    rows = np.zeros((len(steps), *steps[-1].shape), np.float32)
    for target, step in zip(rows, steps, strict=True):
        target[..., : step.shape[-1]] = step
    asked = prompt_ids([*model.requests.prefix, *prompt], [image.model_input])
    ids = np.concatenate([asked, decided[:-1]]).astype(np.int64)
    assert len(ids) == length
    return Attention(
        rows=rows,
        layers=model.manifest.decoder.tapped_layers,
        ids=ids,
        tokens=tuple(model.text.words(ids.tolist())),
        words=tuple(model.text.words(decided)),
        answer=model.text.decode(answer.ids),
        map_tokens=image.map_tokens,
        grid=image.model_input.grid,
        window=image.model_input.window,
        image_size=image_size,
    )
