"""The whole v4 run against a faithful PyTorch version of the released code.

No cache, eager attention, a full forward call with the image for every token of the question and
general passes, all maps kept, every one resized on its own; the final pass with ``generate``.

How long the general pass is makes the difference, so two lengths are measured: where the model ends
it, and the most steps that the released code takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from carve_runtime import refine_image, select_regions
from carve_runtime.prompt.text import question_text
from tools.bench.context import Context
from tools.bench.torch_model import TorchModel
from tools.shared.figures import Figure
from tools.shared.timing import Way, interleave, ratio, spread

_LONGEST_GENERAL_PASS = 32  # of the released code
_ANSWER_TOKENS = 3
_FASTER = 15.0
_REGULARIZER = 1e-8


def measure(context: Context) -> Iterator[Figure]:
    """Yield how many times faster the runtime is."""
    for subject in context.subjects:
        vlm = subject.load()
        layers, prompts = vlm.manifest.defaults.layers, vlm.manifest.prompts
        model = TorchModel(subject, attention="eager")
        question = question_text(subject.question, prompts)
        general = question_text(prompts.general, prompts)
        longest = 2 if context.quick else _LONGEST_GENERAL_PASS
        natural = model.natural_length([subject.image], general, longest)
        lengths = {
            f"general pass of natural length, {natural}": natural,
            f"general pass forced to {longest}": longest,
        }
        v4: Any = {"variant": "v4", "final_prompt": "pair", "max_new_tokens": _ANSWER_TOKENS}
        v4["layers"] = layers
        ways: dict[str, Way] = {
            label: partial(released, model, subject.image, question, general, steps, layers)
            for label, steps in lengths.items()
        }
        ways["ours"] = partial(vlm.ask, subject.image, subject.question, **v4)
        seconds = interleave(ways, max(1, context.rounds // 3), warm=0 if context.quick else 1)
        for label, steps in lengths.items():
            case = f"{subject.name}, {_ANSWER_TOKENS} tokens, {label}"
            yield Figure("released code in PyTorch", case, spread(seconds[label]), unit="s")
            value = ratio(seconds[label], seconds["ours"])
            reach = _FASTER if steps == longest else None
            yield Figure("faster than the released code", case, value, reach=reach, at_least=True)


def released(
    model: TorchModel,
    image: Image.Image,
    question: str,
    general: str,
    general_steps: int,
    layers: Sequence[int],
) -> str:
    """Answer as the released code does; the lengths of answer and general pass are forced."""
    asked = model.attend_uncached([image], question, _ANSWER_TOKENS)
    described = model.attend_uncached([image], general, general_steps)
    size, side = image.size, int(asked[0].shape[-1] ** 0.5)
    total = np.zeros(size[::-1])
    for step, (q, g) in enumerate(zip(asked, described, strict=False)):
        for layer in layers:
            contrast = (q[layer] / (g[layer] + _REGULARIZER)).reshape(side, side)
            resized = Image.fromarray(contrast).resize(size, Image.Resampling.BILINEAR)
            total += (step + 1) * np.asarray(resized)
    mask = select_regions(total)
    refined, _ = refine_image(image, mask)
    pair = [image, Image.fromarray(refined)]
    return model.generate(pair, question, _ANSWER_TOKENS)
