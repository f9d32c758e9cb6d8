"""Ask a question about an image: plainly, and through CARVE (``docs/method.md``)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from carve_models.manifest import Manifest
from carve_models.settings import SettingsChanges, Variant
from carve_runtime.bundle import Bundle, open_bundle
from carve_runtime.graph import CPU
from carve_runtime.image import ImageInput
from carve_runtime.image_session import ImageSession
from carve_runtime.model import Model, OnToken, Work
from carve_runtime.result import CarveResult, PlainResult

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

    def open(self, image: ImageInput) -> ImageSession:
        """Look at an image once, to ask several questions about it.

        Args:
            image: path, encoded bytes, Pillow image, or (H, W, 3) uint8 array.

        Raises:
            ImageError: the image cannot be read.
        """
        work = Work()
        return ImageSession(self._model, self._model.decode(image, work), work)

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
        limit = self._model.plain_limit(question, max_new_tokens, pair=refined is not None)
        work = Work(on_token)
        opened = ImageSession(self._model, self._model.decode(image, work), work)
        return opened.answer_plainly(question, refined, limit, work)

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
        settings = self._model.settings(question, variant, changes)
        work = Work(on_token)
        opened = ImageSession(self._model, self._model.decode(image, work), work)
        return opened.answer_through_carve(question, settings, work)
