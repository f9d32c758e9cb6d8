"""One image and any number of questions about it (``docs/method.md``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from carve_models.errors import SettingsError
from carve_models.settings import Settings, SettingsChanges, Variant
from carve_runtime.decoder.engine import Pass
from carve_runtime.decoder.model import Model, OnToken, Room, Work
from carve_runtime.images.load import RGB, ImageInput
from carve_runtime.method.adaptive import reason_to_skip
from carve_runtime.method.contrast import needed_general_steps
from carve_runtime.method.diagnostics import attention_entropy
from carve_runtime.method.locate import locate
from carve_runtime.method.refine import Refined, refine_pixels
from carve_runtime.result import CarveResult, PlainResult

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class _Asked:
    """The question pass: its answer unless it exited early, (T_Q, L, N) attention, entropy."""

    plain: Pass | None
    attention: NDArray[np.float32]
    entropy: float


@dataclass(frozen=True)
class _General:
    """The general pass's attention, of every tapped layer that ran, up to ``limit`` steps."""

    attention: NDArray[np.float32]
    limit: int


@dataclass(frozen=True)
class _Refinement:
    """What the contrast has led to."""

    general_attention: NDArray[np.float32]
    saliency: NDArray[np.float64]
    mask: NDArray[np.bool_]
    refined: Refined


class ImageSession:
    """An image that the model has looked at; :meth:`carve_runtime.Carve.open` makes one.

    What depends on the image alone is computed once: its features, the cache of the prompt up to
    it, and the attention of the general pass. Threads may share an instance.
    """

    def __init__(
        self,
        model: Model,
        image: RGB,
        room: Room,
        work: Work,
        *,
        lower: bool = False,
        scout_pixels: int | None = None,
    ) -> None:
        """Look at an (H, W, 3) uint8 image; arguments as for :meth:`Model.look`."""
        self._model = model
        self._scout_pixels = scout_pixels
        self._view = model.look(image, room, work, lower=lower, max_pixels=scout_pixels)
        self._general: _General | None = None

    def __enter__(self) -> ImageSession:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to release: the cache goes with the last reference."""

    @property
    def nbytes(self) -> int:
        """Bytes that the session holds, room for passes included."""
        view = self._view
        general = self._general.attention.nbytes if self._general else 0
        return view.image.nbytes + view.features.nbytes + view.prefix.nbytes + general

    def plain(
        self,
        question: str,
        *,
        refined: ImageInput | None = None,
        max_new_tokens: int | None = None,
        on_token: OnToken | None = None,
    ) -> PlainResult:
        """Answer as :meth:`carve_runtime.Carve.plain` does, about what the session sees."""
        limit = self._model.plain_limit(question, max_new_tokens, pair=refined is not None)
        return self.answer_plainly(question, refined, limit, Work(on_token))

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
        if changes.get("scout_pixels") is None:
            changes["scout_pixels"] = self._scout_pixels
        settings = self._model.settings(question, variant, changes)
        if settings.scout_pixels != self._scout_pixels:
            raise SettingsError(
                f"scout_pixels is {settings.scout_pixels}, the image was opened with "
                f"{self._scout_pixels}",
                "open the image with the scout_pixels that the questions need",
            )
        return self.answer_through_carve(question, settings, Work(on_token))

    def answer_plainly(
        self, question: str, refined: ImageInput | None, limit: int, work: Work
    ) -> PlainResult:
        """Run one pass, about the image or about the pair; arguments were checked."""
        if refined is None:
            answer = self._model.answer(
                self._view, question, stage="question", max_new_tokens=limit, work=work
            )
        else:
            second = self._model.decode(refined, work)
            answer = self._model.answer_pair(
                self._view, second, question, stage="final", max_new_tokens=limit, work=work
            )
        return PlainResult(
            answer=self._model.text.decode(answer.ids),
            token_ids=answer.ids,
            timings=work.clock.timings(),
            counts=work.counts,
        )

    def answer_through_carve(self, question: str, settings: Settings, work: Work) -> CarveResult:
        """Run the whole method; arguments were checked."""
        asked = self._question_pass(question, settings, work)
        if asked.plain is not None:
            skipped = reason_to_skip(asked.entropy, asked.plain.probability, settings)
            if skipped is not None:
                nothing = self._no_refinement(asked.attention)
                return self._result(asked, nothing, asked.plain, skipped, settings, work)
        refinement = self._refine(asked.attention, settings, work)
        final = self._final_pass(refinement.refined.image, question, settings, work)
        return self._result(asked, refinement, final, None, settings, work)

    def _question_pass(self, question: str, settings: Settings, work: Work) -> _Asked:
        rows = self._model.rows(settings.layers)
        plain = None
        if settings.early_exit:
            whole = self._model.attend(self._view, question, stage="question", work=work)
        else:
            limit = settings.max_new_tokens
            plain = self._model.answer(
                self._view, question, stage="question", max_new_tokens=limit, work=work
            )
            whole = plain.attention
        attention = whole[:, rows]
        return _Asked(plain, attention, attention_entropy(attention[-1]))

    def _refine(
        self, question_attention: NDArray[np.float32], settings: Settings, work: Work
    ) -> _Refinement:
        steps = needed_general_steps(settings, len(question_attention))
        general_attention = question_attention[:0]
        if steps:
            general_attention = self._general_attention(steps, settings, work)
        with work.clock.stage("refine"):
            saliency, mask = locate(
                question_attention,
                general_attention,
                settings,
                grid=self._view.seen.grid,
                image_size=(self._view.image.shape[1], self._view.image.shape[0]),
                window=self._view.seen.window,
            )
            refined = refine_pixels(
                self._view.image, mask, settings.max_refined_pixels, settings.final_pixels
            )
        return _Refinement(general_attention, saliency, mask, refined)

    def _no_refinement(self, question_attention: NDArray[np.float32]) -> _Refinement:
        """Return the image as it is."""
        image = self._view.image
        height, width = image.shape[:2]
        return _Refinement(
            question_attention[:0],
            np.full((height, width), np.nan),
            np.ones((height, width), bool),
            Refined(image, (0, 0, width, height), limited=False),
        )

    def _result(
        self,
        asked: _Asked,
        refinement: _Refinement,
        final: Pass,
        skipped: str | None,
        settings: Settings,
        work: Work,
    ) -> CarveResult:
        decode, plain, refined = self._model.text.decode, asked.plain, refinement.refined
        return CarveResult(
            answer=decode(final.ids),
            plain_answer=decode(plain.ids) if plain else None,
            token_ids=final.ids,
            plain_token_ids=plain.ids if plain else None,
            plain_probability=plain.probability if plain else None,
            skipped=skipped,
            image=self._view.image,
            saliency=refinement.saliency,
            mask=refinement.mask,
            bbox=refined.box,
            refined_image=refined.image,
            refined_limited=refined.limited,
            grid=self._view.seen.grid,
            question_attention=asked.attention,
            general_attention=refinement.general_attention,
            entropy=asked.entropy,
            timings=work.clock.timings(),
            counts=work.counts,
            settings=settings,
        )

    def _general_attention(self, steps: int, settings: Settings, work: Work) -> NDArray[np.float32]:
        """Return the general pass's attention of at most ``steps`` steps, (T_G, L, N)."""
        rows, known = self._model.rows(settings.layers), self._general
        if known is None or known.limit < steps or known.attention.shape[1] <= max(rows):
            known = _General(self._run_general(steps, settings, work), steps)
            self._general = known
        return known.attention[:steps, rows]

    def _run_general(self, steps: int, settings: Settings, work: Work) -> NDArray[np.float32]:
        text, view = self._model.manifest.prompts.general, self._view
        if settings.early_exit:
            return self._model.attend(view, text, stage="general", work=work)
        run = self._model.answer(view, text, stage="general", max_new_tokens=steps, work=work)
        return run.attention

    def _final_pass(self, refined: RGB, question: str, settings: Settings, work: Work) -> Pass:
        """Ask again, about the pair or about the refined image alone."""
        limit = settings.max_new_tokens
        if settings.final_prompt == "pair":
            return self._model.answer_pair(
                self._view,
                refined,
                question,
                stage="final",
                max_new_tokens=limit,
                work=work,
                max_pixels=settings.final_pixels,
            )
        room = self._model.room(question, pair=False, max_new_tokens=limit)
        second = self._model.look(refined, room, work, max_pixels=settings.final_pixels)
        return self._model.answer(second, question, stage="final", max_new_tokens=limit, work=work)
