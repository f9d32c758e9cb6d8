"""The two passes whose attention is contrasted, about images that the model has encoded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carve_runtime.decoder.encoded import EncodedImages
from carve_runtime.decoder.generation import Pass
from carve_runtime.decoder.model import Model
from carve_runtime.method.adaptive import reason_to_skip
from carve_runtime.method.contrast import needed_general_steps
from carve_runtime.method.diagnostics import attention_entropy
from carve_runtime.prompt.request import Request
from carve_runtime.prompt.text import PromptPart


@dataclass(frozen=True)
class QuestionPass:
    """The plain answer unless the pass exited early, (T_Q, L, N) attention, its entropy."""

    plain: Pass | None
    attention: NDArray[np.float32]
    entropy: float

    def reason_to_skip(self, request: Request) -> str | None:
        """Return why nothing more need be done; ``None`` if it must."""
        if self.plain is None:
            return None
        return reason_to_skip(self.entropy, self.plain.probability, request.settings)


@dataclass(frozen=True)
class _GeneralPass:
    """The attention of the general pass, of every layer that ran, up to ``limit`` steps."""

    attention: NDArray[np.float32]
    limit: int


class AttentionPasses:
    """Runs them; the general pass, which depends on the images alone, once. Threads may share it.

    Attributes:
        images: what the passes are about.
    """

    def __init__(self, model: Model, images: EncodedImages) -> None:
        """Begin; nothing runs yet."""
        self.images = images
        self._model = model
        self._general: _GeneralPass | None = None

    @property
    def nbytes(self) -> int:
        """Bytes held, room for passes included."""
        return self.images.nbytes + (self._general.attention.nbytes if self._general else 0)

    def question(self, request: Request) -> QuestionPass:
        """Run the question pass, and the general one with it where that costs nothing."""
        model, images = self._model, self.images
        prompt, plain = request.prompt.behind(images.count), None
        if request.settings.early_exit:
            every_layer = model.attend(images, prompt, "question", request)
        elif self._go_together(request):
            plain, general = model.answer_both(images, prompt, self._general_prompt, request)
            every_layer = plain.attention
            self._general = _GeneralPass(general.attention, len(every_layer))
        else:
            plain = model.answer(images, prompt, "question", request)
            every_layer = plain.attention
        attention = every_layer[:, self._rows(request)]
        return QuestionPass(plain, attention, attention_entropy(attention[-1]))

    def general(self, question_steps: int, request: Request) -> NDArray[np.float32]:
        """Return (T_G, L, N) attention; it is kept, and T_G is 0 where nothing needs it."""
        rows, known = self._rows(request), self._general
        steps = needed_general_steps(request.settings, question_steps)
        if steps == 0:
            return np.empty((0, len(rows), len(self.images.map_tokens)), np.float32)
        if known is None or known.limit < steps or known.attention.shape[1] <= max(rows):
            model, images, prompt = self._model, self.images, self._general_prompt
            if request.settings.early_exit:
                attention = model.attend(images, prompt, "general", request)
            else:
                attention = model.answer(
                    images, prompt, "general", request, max_new_tokens=steps
                ).attention
            self._general = known = _GeneralPass(attention, steps)
        return known.attention[:steps, rows]

    @property
    def _general_prompt(self) -> tuple[PromptPart, ...]:
        return self._model.requests.general.behind(self.images.count)

    def _go_together(self, request: Request) -> bool:
        """Whether the general pass is sure to be needed, and its tokens cost nothing then."""
        settings = request.settings
        tokens = min(settings.max_new_tokens, needed_general_steps(settings, 2)) > 1
        needed = tokens and self._general is None and not settings.adaptive
        return needed and self._model.can_answer_both(self.images, request)

    def _rows(self, request: Request) -> list[int]:
        return self._model.manifest.decoder.rows(request.settings.layers)
