"""Ask a question about an image: plainly, and through CARVE (``docs/method.md``)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from carve_models.errors import SettingsError
from carve_models.manifest import Manifest
from carve_models.settings import Settings, SettingsChanges, Variant
from carve_runtime.bundle import Bundle, open_bundle
from carve_runtime.contrast import fuse_contrast, needed_general_steps
from carve_runtime.diagnostics import attention_entropy
from carve_runtime.engine import Pass
from carve_runtime.image import RGB, ImageInput, load_image
from carve_runtime.model import Model, OnToken, View, Work
from carve_runtime.preprocess import require_aspect
from carve_runtime.refine import refine_pixels
from carve_runtime.regions import select_regions
from carve_runtime.result import CarveResult, PlainResult
from carve_runtime.session import CPU

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Carve:
    """A loaded bundle. One instance may be used from several threads at once."""

    def __init__(self, bundle: Bundle, providers: Sequence[str] = (CPU,)) -> None:
        """Load the graphs of an opened bundle; :meth:`load` is the short way."""
        self._model = Model(bundle, providers)

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str] | None = None,
        *,
        verify: bool = True,
        providers: Sequence[str] = (CPU,),
    ) -> Carve:
        """Load a bundle, the default one if no folder is given.

        Args:
            folder: a folder that ``carve-export`` wrote.
            verify: compare the files' SHA-256 sums; sizes are compared in any case.
            providers: ONNX Runtime execution providers, best first.

        Raises:
            BundleError: a file is missing, truncated, swapped or malformed.
            FamilyError: the bundle is of an unknown family.
            DependencyError: ONNX Runtime is not installed.
            ProviderError: a provider is not available.
        """
        return cls(open_bundle(folder, verify=verify), providers)

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself, its default settings included."""
        return self._model.manifest

    def plain(
        self,
        image: ImageInput,
        question: str,
        *,
        refined: ImageInput | None = None,
        max_new_tokens: int | None = None,
        on_token: OnToken | None = None,
    ) -> PlainResult:
        """Answer a question with one pass over the whole image.

        Args:
            image: path, encoded bytes, Pillow image, or (H, W, 3) uint8 array.
            question: what to ask.
            refined: a second image, to ask about the pair: a crop of your own, for instance.
            max_new_tokens: most forward steps; the bundle's default if ``None``.
            on_token: receives the answer as it is generated.

        Raises:
            ImageError: the image cannot be read.
            PromptError: the question is empty or too long.
            SettingsError: a value out of range.
        """
        limit = self.manifest.defaults.override(max_new_tokens=max_new_tokens).max_new_tokens
        self._model.require_room(question, pair=refined is not None, max_new_tokens=limit)
        work = Work(on_token)
        view = self._model.look(self._decode(image, work), work)
        if refined is None:
            answer = self._model.answer(
                view, question, stage="question", max_new_tokens=limit, work=work
            )
        else:
            second = self._decode(refined, work)
            answer = self._model.answer_pair(
                view, second, question, stage="final", max_new_tokens=limit, work=work
            )
        return PlainResult(
            answer=self._model.text.decode(answer.ids),
            token_ids=answer.ids,
            timings=work.clock.timings(),
            counts=work.counts,
        )

    def ask(
        self,
        image: ImageInput,
        question: str,
        *,
        variant: Variant | None = None,
        on_token: OnToken | None = None,
        **changes: Unpack[SettingsChanges],
    ) -> CarveResult:
        """Answer a question through CARVE.

        Args:
            image: path, encoded bytes, Pillow image, or (H, W, 3) uint8 array.
            question: what to ask.
            variant: "v1" to "v4", the released code's combinations of steps and strategy.
            on_token: receives the text of all three passes as it is generated.
            **changes: fields of :class:`carve_runtime.Settings` that replace the bundle's
                defaults, for instance ``mask_top_p=0.4``.

        Raises:
            ImageError: the image cannot be read.
            PromptError: the question is empty or too long.
            SettingsError: an unknown setting, a value out of range, a layer that is not tapped.
        """
        settings = self.manifest.defaults.override(variant=variant, **changes)
        rows = self._tapped(settings.layers)
        self._model.require_room(
            question,
            pair=settings.final_prompt == "pair",
            max_new_tokens=settings.max_new_tokens,
        )
        work = Work(on_token)
        view = self._model.look(self._decode(image, work), work)
        limit = settings.max_new_tokens
        plain = self._model.answer(
            view, question, stage="question", max_new_tokens=limit, work=work
        )
        general = self._model.answer(
            view,
            self.manifest.prompts.general,
            stage="general",
            max_new_tokens=needed_general_steps(settings.steps, len(plain.attention)),
            work=work,
        )
        attention = plain.attention[:, rows], general.attention[:, rows]
        with work.clock.stage("refine"):
            saliency, mask = self._select(view, *attention, settings)
            refined = refine_pixels(view.image, mask, settings.max_refined_pixels)
        final = self._final_pass(view, refined.image, question, settings, work)
        return CarveResult(
            answer=self._model.text.decode(final.ids),
            plain_answer=self._model.text.decode(plain.ids),
            token_ids=final.ids,
            plain_token_ids=plain.ids,
            image=view.image,
            saliency=saliency,
            mask=mask,
            bbox=refined.box,
            refined_image=refined.image,
            refined_limited=refined.limited,
            question_attention=attention[0],
            general_attention=attention[1],
            entropy=attention_entropy(attention[0][-1]),
            timings=work.clock.timings(),
            counts=work.counts,
            settings=settings,
        )

    def _tapped(self, layers: Sequence[int]) -> list[int]:
        """Return the rows of the tap that hold the given decoder layers."""
        decoder = self.manifest.decoder
        missing = [layer for layer in layers if layer not in decoder.tapped_layers]
        if missing:
            raise SettingsError(
                f"this bundle does not expose layer {missing[0]} of its {decoder.layers} layers",
                f"choose from {', '.join(map(str, decoder.tapped_layers))}, "
                "or export the checkpoint with other --layers",
            )
        return [decoder.tapped_layers.index(layer) for layer in layers]

    def _decode(self, image: ImageInput, work: Work) -> RGB:
        with work.clock.stage("decode"):
            pixels = load_image(image)
            require_aspect(pixels, self.manifest.image)
        return pixels

    def _select(
        self,
        view: View,
        question_attention: NDArray[np.float32],
        general_attention: NDArray[np.float32],
        settings: Settings,
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        height, width = view.image.shape[:2]
        saliency = fuse_contrast(
            question_attention,
            general_attention,
            grid=self.manifest.image.grid,
            image_size=(width, height),
            layers=range(len(settings.layers)),
            steps=settings.steps,
            regularizer=settings.regularizer,
            window=view.window if settings.geometry == "input" else None,
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

    def _final_pass(
        self, view: View, refined: RGB, question: str, settings: Settings, work: Work
    ) -> Pass:
        """Ask again, about the pair or about the refined image alone."""
        limit = settings.max_new_tokens
        if settings.final_prompt == "pair":
            return self._model.answer_pair(
                view, refined, question, stage="final", max_new_tokens=limit, work=work
            )
        second = self._model.look(refined, work)
        return self._model.answer(second, question, stage="final", max_new_tokens=limit, work=work)
