"""Several images in one prompt, and any number of questions about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from carve_runtime.opened import OpenedImages, Outcome
from carve_runtime.prompt.request import Request
from carve_runtime.result import answer_fields
from carve_runtime.several.result import ImagePart, SeveralResult

if TYPE_CHECKING:
    pass


class SeveralSession(OpenedImages[SeveralResult]):
    """Images that the model has encoded; :meth:`carve_runtime.Carve.open` makes one of a list.

    What depends on the images alone is computed once, as in a :class:`carve_runtime.ImageSession`.
    """

    def _result(self, request: Request, outcome: Outcome) -> SeveralResult:
        decode = self._model.text.decode
        seen = self._images.model_inputs
        ends = np.cumsum([len(each.map_tokens) for each in seen])[:-1]
        question, general = (
            np.split(maps, ends, axis=2)
            for maps in (outcome.question.attention, outcome.general_attention)
        )
        parts = tuple(
            ImagePart(
                image=picture,
                saliency_map=located.saliency,
                refined=refined,
                grid=model_input.grid,
                window=model_input.window,
                question_attention=asked,
                general_attention=described,
            )
            for picture, located, refined, model_input, asked, described in zip(
                self._pictures,
                outcome.located,
                outcome.refined,
                seen,
                question,
                general,
                strict=True,
            )
        )
        return SeveralResult(
            **answer_fields(decode, outcome.question, outcome.final, request),
            skipped=outcome.skipped,
            images=parts,
        )
