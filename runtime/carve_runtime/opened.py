"""Images that the model has encoded, one or several in one prompt, and what is asked about them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from carve_models.errors import SettingsError
from carve_models.out_of_memory import refusing_memory_errors
from carve_models.settings import SettingsChanges, Variant
from carve_runtime.decoder.attention_passes import AttentionPasses, QuestionPass
from carve_runtime.decoder.generation import Pass
from carve_runtime.decoder.model import Model
from carve_runtime.images.load import ImageInput
from carve_runtime.images.magnified import seen_of
from carve_runtime.images.picture import Picture
from carve_runtime.method.geometry import RGB
from carve_runtime.method.lazy import Lazy
from carve_runtime.method.locate import Located, View, locate_among
from carve_runtime.method.maps import Rows
from carve_runtime.method.refine import Refined, refine_pixels
from carve_runtime.prompt.budget import ContextBudget
from carve_runtime.prompt.request import OnToken, Request
from carve_runtime.result import PlainResult
from carve_runtime.usage import Usage

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


@dataclass(frozen=True)
class Outcome:
    """What the method has led to.

    Attributes:
        question: the pass with the question.
        general_attention: (T_G, L, N) of the bundle's own instruction; T_G is 0 if nothing read it.
        located: saliency and mask of each image.
        refined: what is kept of each image.
        final: the pass that answers.
        skipped: why it is the plain one; ``None`` if it is not.
    """

    question: QuestionPass
    general_attention: NDArray[np.float32]
    located: list[Located]
    refined: list[Refined]
    final: Pass
    skipped: str | None


#: What the method's answer is told as.
R = TypeVar("R")


class OpenedImages(ABC, Generic[R]):
    """What sessions about one image and about several have in common.

    What depends on the images alone is computed once: their features, the cache of the prompt up to
    them, and the attention of the general passes. Threads may share an instance.
    """

    def __init__(
        self,
        model: Model,
        pictures: Sequence[RGB],
        budget: ContextBudget,
        usage: Usage,
        *,
        lower: bool = False,
        scout_pixels: int | None = None,
    ) -> None:
        """Encode (H, W, 3) uint8 images; arguments as for :meth:`Model.encode_images`."""
        self._model = model
        self._scout_pixels = scout_pixels
        self._pictures = tuple(pictures)
        self._images = model.encode_images(
            self._pictures, budget, usage, lower=lower, max_pixels=scout_pixels
        )
        self._passes = AttentionPasses(model, self._images)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to release: the cache goes with the last reference."""

    @property
    def nbytes(self) -> int:
        """Bytes that the session holds, room for passes included."""
        return sum(each.nbytes for each in self._pictures) + self._passes.nbytes

    def shows(self, pictures: Sequence[RGB]) -> bool:
        """Return whether the session is about these (H, W, 3) uint8 images."""
        return len(pictures) == len(self._pictures) and all(
            map(np.array_equal, self._pictures, pictures)
        )

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
                question,
                max_new_tokens,
                on_token,
                images=self._images.count,
                refined=int(refined is not None),
            )
            return self.answer_plainly(request, refined)

    def ask(
        self,
        question: str,
        *,
        variant: Variant | None = None,
        on_token: OnToken | None = None,
        **changes: Unpack[SettingsChanges],
    ) -> R:
        """Answer as :meth:`carve_runtime.Carve.ask` does.

        Raises:
            SettingsError: also if ``scout_pixels`` is not what the session was opened with.
        """
        with refusing_memory_errors():
            return self.answer(self._request(question, variant, on_token, **changes))

    def answer_plainly(self, request: Request, refined: ImageInput | None) -> PlainResult:
        """Run one pass, about the images alone or with one more behind them."""
        model, usage = self._model, request.usage
        if refined is None:
            prompt = request.prompt.behind(self._images.count)
            answer = model.answer(self._images, prompt, "question", request)
        else:
            answer = self._answer_with([model.decode(refined, usage)], request)
        return PlainResult.of(model.text.decode, answer, usage)

    def _request(
        self,
        question: str,
        variant: Variant | None,
        on_token: OnToken | None,
        **changes: Unpack[SettingsChanges],
    ) -> Request:
        """Return a request for the whole method; the images were seen before it."""
        if changes.get("scout_pixels") is None:
            changes["scout_pixels"] = self._scout_pixels
        request = self._model.requests.ask(
            question, variant, changes, on_token, images=self._images.count
        )
        if request.settings.scout_pixels != self._scout_pixels:
            raise SettingsError(
                f"scout_pixels is {request.settings.scout_pixels}, the image was opened with "
                f"{self._scout_pixels}",
                "open the image with the scout_pixels that the questions need",
            )
        return request

    def answer(self, request: Request) -> R:
        """Run the whole method."""
        question = self._passes.question(request)
        skipped = question.reason_to_skip(request)
        if skipped is not None:
            assert question.plain is not None
            located, refined = self._unchanged()
            nothing = question.attention[:0]
            unchanged = Outcome(question, nothing, located, refined, question.plain, skipped)
            return self._result(request, unchanged)
        steps = len(question.attention)
        general = []
        for instruction in request.general:
            general.append(self._passes.general(instruction, steps, request))
        with request.usage.clock.stage("refine"):
            rows = Rows(
                question.attention, request.settings.layers, tuple(general), question.answer
            )
            located, refined = self._refine(rows, request)
            seen = self._to_show(refined, request)
        if request.settings.final_prompt == "pair":
            final = self._answer_with(seen, request, request.settings.final_pixels)
        else:
            final = self._answer_about(seen, request)
        own = general[0] if general else question.attention[:0]
        return self._result(request, Outcome(question, own, located, refined, final, None))

    @abstractmethod
    def _result(self, request: Request, outcome: Outcome) -> R:
        """Return what the method has led to as those who asked see it."""

    def _refine(self, rows: Rows, request: Request) -> tuple[list[Located], list[Refined]]:
        settings, pictures = request.settings, self._pictures
        views = [
            View(seen.grid, (picture.shape[1], picture.shape[0]), seen.window)
            for picture, seen in zip(pictures, self._images.model_inputs, strict=True)
        ]
        located = locate_among(rows, settings, views)
        refined = [
            refine_pixels(picture, mask, settings.max_refined_pixels, settings.final_pixels)
            for picture, (_, mask) in zip(pictures, located, strict=True)
        ]
        return located, refined

    def _unchanged(self) -> tuple[list[Located], list[Refined]]:
        """Return the images as they are."""
        located = []
        for picture in self._pictures:
            shape = picture.shape[:2]
            nothing = Lazy(partial(np.full, shape, np.nan))
            located.append(Located(nothing, np.ones(shape, bool)))
        refined = [
            refine_pixels(picture, mask)
            for picture, (_, mask) in zip(self._pictures, located, strict=True)
        ]
        return located, refined

    def _to_show(self, refined: Sequence[Refined], request: Request) -> list[RGB | Picture]:
        """Return the refined images that the final pass is shown.

        An image of which nothing is kept has none, unless nothing is kept at all.
        """
        kept = [each for each in refined if each.mask.any()] or refined
        return [seen_of(each, request.settings.resize_refined) for each in kept]

    def _answer_about(self, seen: Sequence[RGB | Picture], request: Request) -> Pass:
        """Ask again about the refined images alone."""
        model, settings = self._model, request.settings
        budget = replace(request.budget, new_tokens=settings.max_new_tokens)
        images = model.encode_images(seen, budget, request.usage, max_pixels=settings.final_pixels)
        return model.answer(images, request.prompt.behind(images.count), "final", request)

    def _answer_with(
        self, more: Sequence[RGB | Picture], request: Request, max_pixels: int | None = None
    ) -> Pass:
        """Ask about the images with more behind them, which the model sees in so many pixels."""
        model = self._model
        following = model.encode_refined(self._images, more, request, max_pixels)
        prompt = request.prompt.behind(self._images.count, len(more))
        return model.answer(self._images, prompt, "final", request, refined=following)
