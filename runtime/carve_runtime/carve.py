"""Ask a question about an image: plainly, and through CARVE (``docs/method.md``)."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

from carve_models.manifest import Manifest
from carve_models.out_of_memory import refusing_memory_errors
from carve_models.settings import Settings, SettingsChanges, Variant, require_count
from carve_runtime.attention.attention import Attention
from carve_runtime.backends.protocol import BackendName, BackendSettings, ProviderName
from carve_runtime.bundle import Bundle, load_bundle
from carve_runtime.decoder.model import Model
from carve_runtime.hub import locate_bundle
from carve_runtime.images.load import MAX_IMAGE_PIXELS, ImageInput
from carve_runtime.prompt.request import OnToken
from carve_runtime.result import CarveResult, PlainResult
from carve_runtime.session import ImageSession
from carve_runtime.session_cache import Sessions
from carve_runtime.several.given import Images, count_images, require_one
from carve_runtime.several.result import SeveralResult
from carve_runtime.several.session import SeveralSession
from carve_runtime.usage import Usage
from carve_runtime.video.session import VideoSession
from carve_runtime.video.video import Video, VideoInput
from carve_runtime.watch.watch import Frame, Watch
from carve_runtime.watch.watched import WatchSettings

if TYPE_CHECKING:
    from typing_extensions import Unpack


#: What is kept of the images last asked about, in bytes.
IMAGE_CACHE_BYTES = 256 << 20


class Carve:
    """A loaded bundle. One instance may be used from several threads at once."""

    def __init__(
        self,
        bundle: Bundle,
        settings: BackendSettings | None = None,
        image_cache_bytes: int = IMAGE_CACHE_BYTES,
        max_image_pixels: int = MAX_IMAGE_PIXELS,
    ) -> None:
        """Load the graphs of an opened bundle; :meth:`load` is the short way."""
        require_count("image_cache_bytes", image_cache_bytes, low=0, most=math.inf)
        self._model = Model(bundle, settings, max_image_pixels)
        self._sessions = Sessions(self._model, image_cache_bytes)

    @classmethod
    def load(
        cls,
        bundle: str | os.PathLike[str] | None = None,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        verify: bool | None = None,
        backend: BackendName = "ort",
        provider: ProviderName | None = None,
        device: str | None = None,
        threads: int | None = None,
        engines: str | os.PathLike[str] | None = None,
        cuda_graph: bool = True,
        image_cache_bytes: int = IMAGE_CACHE_BYTES,
        max_image_pixels: int = MAX_IMAGE_PIXELS,
    ) -> Carve:
        """Load a bundle, the default one if none is named.

        Args:
            bundle: a folder that ``carve-export`` wrote, or a repository of the Hugging Face hub as
                ``owner/name``; see :func:`carve_runtime.hub.locate_bundle`.
            revision: of the repository: a branch, tag or commit.
            token: for the repository; the one that ``hf auth login`` stored if ``None``.
            verify: compare the files' SHA-256 sums at this load; ``None`` compares each file's sum
                once, and again when the file has changed, ``False`` sizes alone.
            backend: what runs the graphs.
            provider: ONNX Runtime's execution provider, "cpu" if ``None``.
            device: of the backend or provider: a number for CUDA, a name such as "GPU" for
                OpenVINO; the first one if ``None``.
            threads: threads of one graph run; the backend's choice if ``None``.
            engines: folder of ``carve-export engine``, for the backend "tensorrt".
            cuda_graph: record the step of one token and replay it, where bundle and provider can:
                profile ``ort``, half precision, provider "cuda".
            image_cache_bytes: keep what was computed of the images last asked about, so that
                another question about one of them does not encode it again; 0 keeps nothing.
            max_image_pixels: most pixels of an image, see :func:`carve_runtime.load_image`; reading
                one takes less than 1 GB unless this is raised.

        Raises:
            BundleError: a file is missing, truncated, swapped or malformed.
            DependencyError: the backend is not installed.
            EngineError: an engine does not fit the bundle or this machine.
            HubError: the repository cannot be read, or not in full.
            ProviderError: the provider or device is not available.
            SettingsError: an unknown backend or provider, one that does not go with the others, or
                a limit out of range.
        """
        settings = BackendSettings(
            backend=backend,
            provider=provider,
            device=device,
            threads=threads,
            engines=None if engines is None else Path(engines),
            cuda_graph=cuda_graph,
        )
        return load_bundle(
            locate_bundle(bundle, revision=revision, token=token),
            lambda opened: cls(opened, settings, image_cache_bytes, max_image_pixels),
            verify=verify,
        )

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself, its default settings included."""
        return self._model.manifest

    def settings(
        self, *, variant: Variant | None = None, **changes: Unpack[SettingsChanges]
    ) -> Settings:
        """Return the settings of a question that :meth:`ask` is given with these changes.

        Raises:
            SettingsError: an unknown setting, a value out of range, a layer that is not tapped.
        """
        return self._model.requests.settings(variant, changes)

    @property
    def image_cache_nbytes(self) -> int:
        """Bytes held for images asked about before."""
        return self._sessions.nbytes

    @overload
    def open(self, image: ImageInput, *, scout_pixels: int | None = None) -> ImageSession: ...

    @overload
    def open(self, image: Images, *, scout_pixels: int | None = None) -> SeveralSession: ...

    def open(
        self, image: ImageInput | Images, *, scout_pixels: int | None = None
    ) -> ImageSession | SeveralSession:
        """Encode an image, or several in one prompt, once, to ask several questions about it.

        Args:
            image: path, encoded bytes, Pillow image, or (H, W, 3) uint8 array; or a list of them.
            scout_pixels: the setting of that name, for all questions; the bundle's if ``None``.

        Raises:
            ImageError: the image cannot be read.
            PromptError: the images take more positions than the model has.
            SettingsError: the model cannot see an image in that few pixels.
        """
        with refusing_memory_errors():
            settings = self.manifest.defaults.override(scout_pixels=scout_pixels)
            budget = self._model.requests.general_budget(settings, count_images(image))
            pixels = settings.scout_pixels
            key, session = self._sessions.about(image, budget, Usage(), scout_pixels=pixels)
            self._sessions.keep(key, session)
            return session

    def open_video(self, video: Video | VideoInput) -> VideoSession:
        """Encode a clip once, to ask several questions about it.

        Args:
            video: path of a video file, or a :class:`carve_runtime.Video` with what else is to be
                said: a folder of pictures or a list of frames needs its frames a second.

        Raises:
            VideoError: the clip cannot be read, or this bundle's model takes none.
            ImageError: a picture among its frames cannot be read.
            PromptError: it takes more positions than the model has.
            DependencyError: a file needs the extra ``video``.
        """
        with refusing_memory_errors():
            clip = video if isinstance(video, Video) else Video(video)
            reserve = self._model.requests.general_budget(self.manifest.defaults).reserve
            return VideoSession(self._model, clip, reserve)

    def plain(
        self,
        image: ImageInput | Images,
        question: str,
        *,
        refined: ImageInput | None = None,
        max_new_tokens: int | None = None,
        on_token: OnToken | None = None,
    ) -> PlainResult:
        """Answer a question with one pass over the whole image.

        Args:
            image: path, encoded bytes, Pillow image, or (H, W, 3) uint8 array; or a list of them.
            question: what to ask.
            refined: one more image behind, to ask about both: a crop of your own, for instance.
            max_new_tokens: most forward steps; the bundle's default if ``None``.
            on_token: receives the answer as it is generated.

        Raises:
            ImageError: the image cannot be read.
            PromptError: the question is empty or too long, or there are too many images.
            SettingsError: a value out of range.
        """
        with refusing_memory_errors():
            more = int(refined is not None)
            request = self._model.requests.plain(
                question, max_new_tokens, on_token, images=count_images(image), refined=more
            )
            key, session = self._sessions.about(image, request.budget, request.usage)
            result = session.answer_plainly(request, refined)
            self._sessions.keep(key, session)
            return result

    @overload
    def ask(
        self,
        image: ImageInput,
        question: str,
        *,
        variant: Variant | None = None,
        on_token: OnToken | None = None,
        **changes: Unpack[SettingsChanges],
    ) -> CarveResult: ...

    @overload
    def ask(
        self,
        image: Images,
        question: str,
        *,
        variant: Variant | None = None,
        on_token: OnToken | None = None,
        **changes: Unpack[SettingsChanges],
    ) -> SeveralResult: ...

    def ask(
        self,
        image: ImageInput | Images,
        question: str,
        *,
        variant: Variant | None = None,
        on_token: OnToken | None = None,
        **changes: Unpack[SettingsChanges],
    ) -> CarveResult | SeveralResult:
        """Answer a question through CARVE.

        Args:
            image: path, encoded bytes, Pillow image, or (H, W, 3) uint8 array; or a list of them,
                which stand in one prompt (``docs/several.md``).
            question: what to ask.
            variant: "v1" to "v4", the released code's combinations of steps and strategy.
            on_token: receives the text of all three passes as it is generated.
            **changes: fields of :class:`carve_runtime.Settings` that replace the bundle's
                defaults, for instance ``mask_top_p=0.4``.

        Raises:
            ImageError: the image cannot be read.
            PromptError: the question is empty or too long, or there are too many images.
            SettingsError: an unknown setting, a value out of range, a layer that is not tapped.
        """
        with refusing_memory_errors():
            images = count_images(image)
            request = self._model.requests.ask(question, variant, changes, on_token, images=images)
            key, session = self._sessions.about(
                image,
                request.budget,
                request.usage,
                lower=request.settings.early_exit,
                scout_pixels=request.settings.scout_pixels,
            )
            result = session.answer(request)
            self._sessions.keep(key, session)
            return result

    def watch(
        self,
        frames: Iterable[Frame],
        questions: str | Sequence[str],
        *,
        watch_settings: WatchSettings | None = None,
        variant: Variant | None = None,
        **changes: Unpack[SettingsChanges],
    ) -> Watch:
        """Ask about a stream of frames through CARVE, again whenever the picture changed.

        Args:
            frames: pictures, each an image of any kind, or pairs of the second at which one was
                taken and the picture: a camera's loop, a generator, a :class:`carve_runtime.Video`.
                They are pulled one at a time and may never end.
            questions: one, or several that share what is computed of a frame.
            watch_settings: when a frame is asked about; the defaults if ``None``.
            variant: as for :meth:`ask`.
            **changes: as for :meth:`ask`.

        Returns:
            an iterator of a :class:`carve_runtime.Watched` for each frame; close it, or use it in a
            ``with`` block, to close the stream as well.

        Raises:
            PromptError: a question is empty or too long, or there is none.
            SettingsError: an unknown setting, a value out of range, a layer that is not tapped.
            VideoError: the frames are none.
        """
        settings = watch_settings or WatchSettings()
        return Watch(self._model, frames, questions, settings, variant, changes)

    def attend(self, image: ImageInput, text: str, *, generate: int = 1) -> Attention:
        """Return where the model looks while it reads a text about an image, and answers it.

        Args:
            image: path, encoded bytes, Pillow image, or (H, W, 3) uint8 array.
            text: what stands where a question stands.
            generate: most steps: the first one decides the first word of the answer.

        Raises:
            ImageError: the image cannot be read.
            PromptError: the text is empty, or too long for the model's context; or a list of images
                was given.
            SettingsError: ``generate`` is out of range.
        """
        with refusing_memory_errors():
            require_count("generate", generate)
            require_one(image, "attend")
            request = self._model.requests.plain(text, generate)
            key, session = self._sessions.about(image, request.budget, request.usage)
            assert isinstance(session, ImageSession)  # as no list was given
            attention = session.attention_of(request)
            self._sessions.keep(key, session)
            return attention
