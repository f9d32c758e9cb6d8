"""The passes whose attention is contrasted, about images that the model has encoded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carve_models.settings import MOST_INSTRUCTIONS
from carve_runtime.decoder.encoded import EncodedImages
from carve_runtime.decoder.generation import Pass
from carve_runtime.decoder.model import Model
from carve_runtime.method.adaptive import reason_to_skip
from carve_runtime.method.diagnostics import attention_entropy
from carve_runtime.method.maps import method_of, needed_general_steps
from carve_runtime.method.maps.rollout import AnswerRows
from carve_runtime.prompt.request import Instruction, Request


@dataclass(frozen=True)
class QuestionPass:
    """The plain answer unless the pass exited early, and the attention.

    Attributes:
        attention: (T_Q, L, N) float32.
        answer: (T_Q, L, T_Q) float32, between the steps, if the method reads it.
        entropy: of the last step, in nats.
    """

    plain: Pass | None
    attention: NDArray[np.float32]
    answer: NDArray[np.float32] | None
    entropy: float

    def reason_to_skip(self, request: Request) -> str | None:
        """Return why nothing more need be done; ``None`` if it must."""
        if self.plain is None:
            return None
        return reason_to_skip(self.entropy, self.plain.probability, request.settings)


@dataclass(frozen=True)
class _GeneralPass:
    """The attention of a general pass, of every layer that ran, up to ``limit`` steps."""

    attention: NDArray[np.float32]
    limit: int


class AttentionPasses:
    """Runs them; the general passes, which depend on the images alone, once. Threads may share it.

    Attributes:
        images: what the passes are about.
    """

    def __init__(self, model: Model, images: EncodedImages) -> None:
        """Begin; nothing runs yet."""
        self.images = images
        self._model = model
        self._general: dict[str, _GeneralPass] = {}

    @property
    def nbytes(self) -> int:
        """Bytes held, room for passes included."""
        general = (each.attention.nbytes for each in list(self._general.values()))
        return self.images.nbytes + sum(general)

    def question(self, request: Request) -> QuestionPass:
        """Run the question pass, and the general one with it where that costs nothing."""
        model, images = self._model, self.images
        prompt, plain = request.prompt.behind(images.count), None
        rows, read = self._rows(request), AnswerRows()
        reads_answer = method_of(request.settings).answer
        if request.settings.early_exit:
            every_layer = model.attend(images, prompt, "question", request)
        elif self._go_together(request):
            own = request.general[0]
            general_prompt = own.prompt.behind(images.count)
            plain, general = model.answer_both(images, prompt, general_prompt, request)
            every_layer = plain.attention
            self._keep(own, _GeneralPass(general.attention, len(every_layer)))
        else:
            on_step = read if reads_answer else None
            plain = model.answer(images, prompt, "question", request, on_step=on_step)
            every_layer = plain.attention
        attention = every_layer[:, rows]
        answer = read.result()[:, rows] if reads_answer else None
        return QuestionPass(plain, attention, answer, attention_entropy(attention[-1]))

    def general(
        self, instruction: Instruction, question_steps: int, request: Request
    ) -> NDArray[np.float32]:
        """Return (T_G, L, N) attention to a general instruction; that of every layer is kept."""
        steps = needed_general_steps(request.settings, question_steps)
        rows, known = self._rows(request), self._general.get(instruction.text)
        if known is None or known.limit < steps or known.attention.shape[1] <= max(rows):
            model, images = self._model, self.images
            prompt = instruction.prompt.behind(images.count)
            if request.settings.early_exit:
                attention = model.attend(images, prompt, "general", request)
            else:
                attention = model.answer(
                    images, prompt, "general", request, max_new_tokens=steps
                ).attention
            known = _GeneralPass(attention, steps)
            self._keep(instruction, known)
        return known.attention[:steps, rows]

    def _keep(self, instruction: Instruction, passed: _GeneralPass) -> None:
        """Keep a pass; of more than one question can name, the oldest goes."""
        self._general[instruction.text] = passed
        for text in list(self._general)[: -(MOST_INSTRUCTIONS + 1)]:
            self._general.pop(text, None)  # another thread may have dropped it

    def _go_together(self, request: Request) -> bool:
        """Whether a general pass is sure to be needed, and its tokens cost nothing then."""
        settings = request.settings
        tokens = min(settings.max_new_tokens, needed_general_steps(settings, 2)) > 1
        needed = tokens and request.general[0].text not in self._general and not settings.adaptive
        return needed and self._model.can_answer_both(self.images, request)

    def _rows(self, request: Request) -> list[int]:
        return self._model.manifest.decoder.rows(request.settings.layers)
