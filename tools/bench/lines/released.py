"""The whole v4 run against a faithful PyTorch version of the released code.

No cache, eager attention, a full forward call with the image for every token of the question and
general passes, all maps kept, every one resized on its own; the final pass with ``generate``.

How long the general pass is makes the difference, so two lengths are measured: where the model ends
it, and the most steps that the released code takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from carve_runtime.prompt.text import question_text
from tools.bench.context import Context
from tools.bench.torch_model import TorchModel
from tools.shared.figures import Figure
from tools.shared.models.released import released
from tools.shared.timing import Way, interleave, ratio, spread

_LONGEST_GENERAL_PASS = 32  # of the released code
_ANSWER_TOKENS = 3
_FASTER = 15.0


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
            label: partial(
                released, model, subject.image, question, general, steps, layers, _ANSWER_TOKENS
            )
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
