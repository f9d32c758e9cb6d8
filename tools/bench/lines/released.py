"""The whole v4 run against a faithful PyTorch version of the released code.

No cache, eager attention, a full forward call with the image for every token of the question and
general passes, all maps kept, every one resized on its own; the final pass with ``generate``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from carve_runtime import refine_image, select_regions
from tools.bench.context import Context
from tools.bench.figures import Figure
from tools.bench.subjects import Subject
from tools.bench.torch_model import TorchModel
from tools.shared.timing import Way, interleave, ratio, spread

_GENERAL_TOKENS = 32  # of the released code
_ANSWER_TOKENS = 3
_FASTER = 15.0
_REGULARIZER = 1e-8


def measure(context: Context) -> Iterator[Figure]:
    """Yield how many times faster the runtime is."""
    for subject in context.subjects:
        general = 2 if context.quick else _GENERAL_TOKENS
        vlm = subject.load()
        layers = vlm.manifest.defaults.layers
        model = TorchModel(subject, vlm.manifest.prompts.general, attention="eager")
        v4: Any = {"variant": "v4", "final_prompt": "pair", "max_new_tokens": _ANSWER_TOKENS}
        v4["layers"] = layers
        ways: dict[str, Way] = {
            "released": partial(released, model, subject, general, layers),
            "ours": partial(vlm.ask, subject.image, subject.question, **v4),
        }
        seconds = interleave(ways, max(1, context.rounds // 3), warm=0 if context.quick else 1)
        case = f"{subject.name}, {_ANSWER_TOKENS} tokens, general pass of {general}"
        yield Figure("released code in PyTorch", case, spread(seconds["released"]), unit="s")
        value = ratio(seconds["released"], seconds["ours"])
        yield Figure("faster than the released code", case, value, reach=_FASTER, at_least=True)


def released(model: TorchModel, subject: Subject, general: int, layers: Any) -> str:
    """Answer as the released code does; the answer's length is forced."""
    asked = model.attend_uncached([subject.image], subject.question, _ANSWER_TOKENS)
    described = model.attend_uncached([subject.image], model.general, general)
    size, side = subject.image.size, int(asked[0].shape[-1] ** 0.5)
    total = np.zeros(size[::-1])
    for step, (q, g) in enumerate(zip(asked, described, strict=False)):
        for layer in layers:
            contrast = (q[layer] / (g[layer] + _REGULARIZER)).reshape(side, side)
            resized = Image.fromarray(contrast).resize(size, Image.Resampling.BILINEAR)
            total += (step + 1) * np.asarray(resized)
    mask = select_regions(total)
    refined, _ = refine_image(subject.image, mask)
    pair = [subject.image, Image.fromarray(refined)]
    return model.generate(pair, subject.question, _ANSWER_TOKENS)
