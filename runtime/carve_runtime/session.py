"""One image and any number of questions about it (``docs/method.md``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carve_models.out_of_memory import refusing_memory_errors
from carve_models.settings import SettingsChanges, Variant, require_count
from carve_runtime.attention.attention import Attention
from carve_runtime.attention.collect import collect
from carve_runtime.opened import OpenedImages, Outcome
from carve_runtime.prompt.request import OnToken, Request
from carve_runtime.result import CarveResult

if TYPE_CHECKING:
    from typing_extensions import Unpack


class ImageSession(OpenedImages[CarveResult]):
    """An image that the model has encoded; :meth:`carve_runtime.Carve.open` makes one.

    What depends on the image alone is computed once: its features, the cache of the prompt up to
    it, and the attention of the general passes. Threads may share an instance.
    """

    def ask(
        self,
        question: str,
        *,
        variant: Variant | None = None,
        on_token: OnToken | None = None,
        **changes: Unpack[SettingsChanges],
    ) -> CarveResult:
        """Answer as :meth:`carve_runtime.Carve.ask` does.

        Raises:
            SettingsError: also if ``scout_pixels`` is not what the session was opened with.
        """
        with refusing_memory_errors():
            return self.answer(self._request(question, variant, on_token, **changes))

    def attend(self, text: str, *, generate: int = 1) -> Attention:
        """Return the attention as :meth:`carve_runtime.Carve.attend` does."""
        with refusing_memory_errors():
            require_count("generate", generate)
            return self.watch(self._model.requests.plain(text, generate))

    def watch(self, request: Request) -> Attention:
        """Run one pass about the image, and return what it attends to."""
        height, width = self._pictures[0].shape[:2]
        return collect(self._model, self._images, (width, height), request)

    def _result(self, request: Request, outcome: Outcome) -> CarveResult:
        decode, plain = self._model.text.decode, outcome.question.plain
        (located,), (refined,), (picture,) = outcome.located, outcome.refined, self._pictures
        (model_input,) = self._images.model_inputs
        return CarveResult(
            answer=decode(outcome.final.ids),
            plain_answer=decode(plain.ids) if plain else None,
            token_ids=outcome.final.ids,
            plain_token_ids=plain.ids if plain else None,
            probability=outcome.final.probability,
            plain_probability=plain.probability if plain else None,
            skipped=outcome.skipped,
            image=picture,
            saliency_map=located.saliency,
            refined=refined,
            grid=model_input.grid,
            window=model_input.window,
            question_attention=outcome.question.attention,
            general_attention=outcome.general_attention,
            entropy=outcome.question.entropy,
            timings=request.usage.clock.finish(),
            counts=request.usage.counts,
            settings=request.settings,
        )
