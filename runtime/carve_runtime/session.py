"""One image and any number of questions about it (``docs/method.md``)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from carve_models.errors import SettingsError
from carve_models.out_of_memory import refusing_memory_errors
from carve_models.settings import SettingsChanges, Variant, require_count
from carve_runtime.attention.attention import Attention
from carve_runtime.attention.collect import collect
from carve_runtime.decoder.generation import Pass
from carve_runtime.decoder.model import Model
from carve_runtime.images.load import ImageInput
from carve_runtime.images.magnified import seen_of
from carve_runtime.method.adaptive import reason_to_skip
from carve_runtime.method.diagnostics import attention_entropy
from carve_runtime.method.geometry import RGB
from carve_runtime.method.lazy import Lazy
from carve_runtime.method.locate import locate
from carve_runtime.method.maps import Rows, method_of, needed_general_steps
from carve_runtime.method.maps.rollout import AnswerRows
from carve_runtime.method.refine import Refined, refine_pixels
from carve_runtime.prompt.budget import ContextBudget
from carve_runtime.prompt.request import Instruction, OnToken, Request
from carve_runtime.result import CarveResult, PlainResult
from carve_runtime.usage import Usage

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class _QuestionPass:
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


@dataclass(frozen=True)
class _GeneralPass:
    """The attention of a general pass, of every layer that ran, up to ``limit`` steps."""

    attention: NDArray[np.float32]
    limit: int


@dataclass(frozen=True)
class _Refinement:
    """What the map has led to."""

    general_attention: NDArray[np.float32]
    saliency: Lazy[NDArray[np.float64]]
    refined: Refined


class ImageSession:
    """An image that the model has encoded; :meth:`carve_runtime.Carve.open` makes one.

    What depends on the image alone is computed once: its features, the cache of the prompt up to
    it, and the attention of the general passes. Threads may share an instance.
    """

    def __init__(
        self,
        model: Model,
        image: RGB,
        budget: ContextBudget,
        usage: Usage,
        *,
        lower: bool = False,
        scout_pixels: int | None = None,
    ) -> None:
        """Encode an (H, W, 3) uint8 image; arguments as for :meth:`Model.encode_image`."""
        self._model = model
        self._scout_pixels = scout_pixels
        self._pixels = image
        self._image = model.encode_image(image, budget, usage, lower=lower, max_pixels=scout_pixels)
        self._general: dict[str, _GeneralPass] = {}

    def __enter__(self) -> ImageSession:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to release: the cache goes with the last reference."""

    @property
    def nbytes(self) -> int:
        """Bytes that the session holds, room for passes included."""
        general = (each.attention.nbytes for each in list(self._general.values()))
        return self._pixels.nbytes + self._image.nbytes + sum(general)

    def shows(self, image: RGB) -> bool:
        """Return whether the session is about this (H, W, 3) uint8 image."""
        return np.array_equal(self._pixels, image)

    def plain(
        self,
        question: str,
        *,
        refined: ImageInput | None = None,
        max_new_tokens: int | None = None,
        on_token: OnToken | None = None,
    ) -> PlainResult:
        """Answer as :meth:`carve_runtime.Carve.plain` does, about what the session holds."""
        with refusing_memory_errors():
            request = self._model.requests.plain(
                question, max_new_tokens, on_token, pair=refined is not None
            )
            return self.answer_plainly(request, refined)

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
            if changes.get("scout_pixels") is None:
                changes["scout_pixels"] = self._scout_pixels
            request = self._model.requests.ask(question, variant, changes, on_token)
            if request.settings.scout_pixels != self._scout_pixels:
                raise SettingsError(
                    f"scout_pixels is {request.settings.scout_pixels}, the image was opened with "
                    f"{self._scout_pixels}",
                    "open the image with the scout_pixels that the questions need",
                )
            return self.answer(request)

    def attend(self, text: str, *, generate: int = 1) -> Attention:
        """Return the attention as :meth:`carve_runtime.Carve.attend` does."""
        with refusing_memory_errors():
            require_count("generate", generate)
            return self.watch(self._model.requests.plain(text, generate))

    def watch(self, request: Request) -> Attention:
        """Run one pass about the image, and return what it attends to."""
        height, width = self._pixels.shape[:2]
        return collect(self._model, self._image, (width, height), request)

    def answer_plainly(self, request: Request, refined: ImageInput | None) -> PlainResult:
        """Run one pass, about the image or about the pair."""
        model, usage = self._model, request.usage
        if refined is None:
            answer = model.answer(self._image, request.prompt.single, "question", request)
        else:
            pixels = model.decode(refined, usage)
            second = model.encode_refined(self._image, pixels, request)
            prompt = request.prompt.pair
            answer = model.answer(self._image, prompt, "final", request, refined=second)
        return PlainResult(
            answer=model.text.decode(answer.ids),
            token_ids=answer.ids,
            timings=usage.clock.finish(),
            counts=usage.counts,
        )

    def answer(self, request: Request) -> CarveResult:
        """Run the whole method."""
        question = self._question_pass(request)
        if question.plain is not None:
            probability, settings = question.plain.probability, request.settings
            skipped = reason_to_skip(question.entropy, probability, settings)
            if skipped is not None:
                unchanged = self._no_refinement(question.attention)
                return self._result(request, question, unchanged, question.plain, skipped)
        steps = len(question.attention)
        general = tuple(self._general_pass(each, steps, request) for each in request.general)
        refinement = self._refine(question, general, request)
        final = self._final_pass(refinement.refined, request)
        return self._result(request, question, refinement, final, None)

    def _question_pass(self, request: Request) -> _QuestionPass:
        model, prompt, plain = self._model, request.prompt.single, None
        rows, read = self._rows(request), AnswerRows()
        reads_answer = method_of(request.settings).answer
        if request.settings.early_exit:
            every_layer = model.attend(self._image, prompt, "question", request)
        elif self._passes_go_together(request):
            own = request.general[0]
            plain, general = model.answer_both(self._image, prompt, own.prompt.single, request)
            every_layer = plain.attention
            self._general[own.text] = _GeneralPass(general.attention, len(every_layer))
        else:
            on_step = read if reads_answer else None
            plain = model.answer(self._image, prompt, "question", request, on_step=on_step)
            every_layer = plain.attention
        attention = every_layer[:, rows]
        answer = read.result()[:, rows] if reads_answer else None
        return _QuestionPass(plain, attention, answer, attention_entropy(attention[-1]))

    def _passes_go_together(self, request: Request) -> bool:
        """Whether a general pass is sure to be needed, and its tokens cost nothing then."""
        settings = request.settings
        tokens = min(settings.max_new_tokens, needed_general_steps(settings, 2)) > 1
        needed = tokens and request.general[0].text not in self._general and not settings.adaptive
        return needed and self._model.can_answer_both(self._image, request)

    def _general_pass(
        self, instruction: Instruction, question_steps: int, request: Request
    ) -> NDArray[np.float32]:
        """Return (T_G, L, N) attention; that of every layer is kept."""
        rows, known = self._rows(request), self._general.get(instruction.text)
        steps = needed_general_steps(request.settings, question_steps)
        if known is None or known.limit < steps or known.attention.shape[1] <= max(rows):
            model, prompt = self._model, instruction.prompt.single
            if request.settings.early_exit:
                attention = model.attend(self._image, prompt, "general", request)
            else:
                attention = model.answer(
                    self._image, prompt, "general", request, max_new_tokens=steps
                ).attention
            self._general[instruction.text] = known = _GeneralPass(attention, steps)
        return known.attention[:steps, rows]

    def _refine(
        self, question: _QuestionPass, general: tuple[NDArray[np.float32], ...], request: Request
    ) -> _Refinement:
        settings, image = request.settings, self._image
        height, width = self._pixels.shape[:2]
        with request.usage.clock.stage("refine"):
            saliency, mask = locate(
                Rows(question.attention, settings.layers, general, question.answer),
                settings,
                grid=image.model_input.grid,
                image_size=(width, height),
                window=image.model_input.window,
            )
            refined = refine_pixels(
                self._pixels, mask, settings.max_refined_pixels, settings.final_pixels
            )
        own = general[0] if general else question.attention[:0]
        return _Refinement(own, saliency, refined)

    def _no_refinement(self, question_attention: NDArray[np.float32]) -> _Refinement:
        """Return the image as it is."""
        shape = self._pixels.shape[:2]
        return _Refinement(
            question_attention[:0],
            Lazy(partial(np.full, shape, np.nan)),
            refine_pixels(self._pixels, np.ones(shape, bool)),
        )

    def _final_pass(self, refined: Refined, request: Request) -> Pass:
        """Ask again, about the pair or about the refined image alone."""
        model, settings = self._model, request.settings
        limit = settings.final_pixels
        with request.usage.clock.stage("refine"):
            seen = seen_of(refined, settings.resize_refined)
        if settings.final_prompt == "pair":
            second = model.encode_refined(self._image, seen, request, limit)
            prompt = request.prompt.pair
            return model.answer(self._image, prompt, "final", request, refined=second)
        budget = replace(request.budget, new_tokens=settings.max_new_tokens)
        image = model.encode_image(seen, budget, request.usage, max_pixels=limit)
        return model.answer(image, request.prompt.single, "final", request)

    def _rows(self, request: Request) -> list[int]:
        return self._model.manifest.decoder.rows(request.settings.layers)

    def _result(
        self,
        request: Request,
        question: _QuestionPass,
        refinement: _Refinement,
        final: Pass,
        skipped: str | None,
    ) -> CarveResult:
        decode, plain, refined = self._model.text.decode, question.plain, refinement.refined
        return CarveResult(
            answer=decode(final.ids),
            plain_answer=decode(plain.ids) if plain else None,
            token_ids=final.ids,
            plain_token_ids=plain.ids if plain else None,
            plain_probability=plain.probability if plain else None,
            skipped=skipped,
            image=self._pixels,
            saliency_map=refinement.saliency,
            refined=refined,
            grid=self._image.model_input.grid,
            window=self._image.model_input.window,
            question_attention=question.attention,
            general_attention=refinement.general_attention,
            entropy=question.entropy,
            timings=request.usage.clock.finish(),
            counts=request.usage.counts,
            settings=request.settings,
        )
