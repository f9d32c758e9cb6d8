"""Several images in one prompt, and any number of questions about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from carve_models.out_of_memory import refusing_memory_errors
from carve_models.settings import SettingsChanges, Variant
from carve_runtime.opened import OpenedImages, Outcome
from carve_runtime.prompt.request import OnToken, Request
from carve_runtime.several.result import ImagePart, SeveralResult

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SeveralSession(OpenedImages[SeveralResult]):
    """Images that the model has encoded; :meth:`carve_runtime.Carve.open` makes one of a list.

    What depends on the images alone is computed once, as in a :class:`carve_runtime.ImageSession`.
    """

    def ask(
        self,
        question: str,
        *,
        variant: Variant | None = None,
        on_token: OnToken | None = None,
        **changes: Unpack[SettingsChanges],
    ) -> SeveralResult:
        """Answer as :meth:`carve_runtime.Carve.ask` does.

        Raises:
            SettingsError: also if ``scout_pixels`` is not what the session was opened with.
        """
        with refusing_memory_errors():
            return self.answer(self._request(question, variant, on_token, **changes))

    def _result(self, request: Request, outcome: Outcome) -> SeveralResult:
        decode, plain = self._model.text.decode, outcome.question.plain
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
            answer=decode(outcome.final.ids),
            plain_answer=decode(plain.ids) if plain else None,
            token_ids=outcome.final.ids,
            plain_token_ids=plain.ids if plain else None,
            probability=outcome.final.probability,
            plain_probability=plain.probability if plain else None,
            skipped=outcome.skipped,
            images=parts,
            entropy=outcome.question.entropy,
            timings=request.usage.clock.finish(),
            counts=request.usage.counts,
            settings=request.settings,
        )
