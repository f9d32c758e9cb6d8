"""One image and any number of questions about it (``docs/method.md``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from carve_models.settings import Settings, SettingsChanges, Variant
from carve_runtime.contrast import fuse_contrast, needed_general_steps
from carve_runtime.diagnostics import attention_entropy
from carve_runtime.engine import Pass
from carve_runtime.image import RGB, ImageInput
from carve_runtime.model import Model, OnToken, Work
from carve_runtime.refine import refine_pixels
from carve_runtime.regions import select_regions
from carve_runtime.result import CarveResult, PlainResult

if TYPE_CHECKING:
    from typing_extensions import Unpack


class ImageSession:
    """An image that the model has looked at; :meth:`carve_runtime.Carve.open` makes one.

    What depends on the image alone is computed once: its features, the cache of the prompt up to
    it, and the attention of the general pass. Threads may share an instance.
    """

    def __init__(self, model: Model, image: RGB, work: Work) -> None:
        """Look at an (H, W, 3) uint8 image."""
        self._model = model
        self._view = model.look(image, work)
        self._general: Pass | None = None
        self._general_limit = 0

    def __enter__(self) -> ImageSession:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to release: the cache goes with the last reference."""

    def plain(
        self,
        question: str,
        *,
        refined: ImageInput | None = None,
        max_new_tokens: int | None = None,
        on_token: OnToken | None = None,
    ) -> PlainResult:
        """Answer as :meth:`carve_runtime.Carve.plain` does."""
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
        """Answer as :meth:`carve_runtime.Carve.ask` does."""
        settings = self._model.settings(question, variant, changes)
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
        plain = self._model.answer(
            self._view,
            question,
            stage="question",
            max_new_tokens=settings.max_new_tokens,
            work=work,
        )
        rows = self._model.rows(settings.layers)
        question_attention = plain.attention[:, rows]
        steps = needed_general_steps(settings, len(plain.attention))
        general_attention = self._general_attention(steps, work)[:, rows]
        with work.clock.stage("refine"):
            saliency, mask = self._select(question_attention, general_attention, settings)
            refined = refine_pixels(self._view.image, mask, settings.max_refined_pixels)
        final = self._final_pass(refined.image, question, settings, work)
        return CarveResult(
            answer=self._model.text.decode(final.ids),
            plain_answer=self._model.text.decode(plain.ids),
            token_ids=final.ids,
            plain_token_ids=plain.ids,
            image=self._view.image,
            saliency=saliency,
            mask=mask,
            bbox=refined.box,
            refined_image=refined.image,
            refined_limited=refined.limited,
            question_attention=question_attention,
            general_attention=general_attention,
            entropy=attention_entropy(question_attention[-1]),
            timings=work.clock.timings(),
            counts=work.counts,
            settings=settings,
        )

    def _general_attention(self, steps: int, work: Work) -> NDArray[np.float32]:
        """Return the general pass's attention of at most ``steps`` steps, (T_G, L, N)."""
        if steps == 0:
            decoder = self._model.manifest.decoder
            shape = (0, len(decoder.tapped_layers), self._model.manifest.image.tokens)
            return np.empty(shape, np.float32)
        known = self._general
        if known is None or self._general_limit < steps:
            known = self._model.answer(
                self._view,
                self._model.manifest.prompts.general,
                stage="general",
                max_new_tokens=steps,
                work=work,
            )
            self._general, self._general_limit = known, steps
        return known.attention[:steps]

    def _select(
        self,
        question_attention: NDArray[np.float32],
        general_attention: NDArray[np.float32],
        settings: Settings,
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return saliency and mask."""
        height, width = self._view.image.shape[:2]
        saliency = fuse_contrast(
            question_attention,
            general_attention,
            grid=self._model.manifest.image.grid,
            image_size=(width, height),
            layers=range(len(settings.layers)),
            steps=settings.steps,
            contrast=settings.contrast,
            regularizer=settings.regularizer,
            window=self._view.window if settings.geometry == "input" else None,
        )
        mask = select_regions(
            saliency,
            mask_top_p=settings.mask_top_p,
            max_regions=settings.max_regions,
            strategy=settings.strategy,
            rule=settings.rule,
            outlier_percent=settings.outlier_percent,
        )
        return saliency, mask

    def _final_pass(self, refined: RGB, question: str, settings: Settings, work: Work) -> Pass:
        """Ask again, about the pair or about the refined image alone."""
        limit = settings.max_new_tokens
        if settings.final_prompt == "pair":
            return self._model.answer_pair(
                self._view, refined, question, stage="final", max_new_tokens=limit, work=work
            )
        second = self._model.look(refined, work)
        return self._model.answer(second, question, stage="final", max_new_tokens=limit, work=work)
