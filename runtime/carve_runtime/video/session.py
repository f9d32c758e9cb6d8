"""One clip and any number of questions about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carve_models.out_of_memory import refusing_memory_errors
from carve_models.settings import SettingsChanges, Variant, require_count
from carve_runtime.attention.collect import collect_maps
from carve_runtime.decoder.attention_passes import AttentionPasses
from carve_runtime.decoder.generation import Pass
from carve_runtime.decoder.model import Model
from carve_runtime.method.geometry import Box
from carve_runtime.method.locate import fuse
from carve_runtime.method.maps import Rows
from carve_runtime.prompt.request import OnToken, Request
from carve_runtime.prompt.text import PromptPart, question_text
from carve_runtime.result import PlainResult, answer_fields
from carve_runtime.usage import Usage
from carve_runtime.video.attention import ClipAttention
from carve_runtime.video.clip import ClipEncoder, Seen
from carve_runtime.video.excerpt import Excerpt, frames_between, require_box
from carve_runtime.video.over_time.focus import find_focus
from carve_runtime.video.over_time.interval import ClipSettings, spread
from carve_runtime.video.over_time.requests import clip_request
from carve_runtime.video.over_time.result import VideoResult
from carve_runtime.video.video import Video

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


class VideoSession:
    """A clip that the model has encoded; :meth:`carve_runtime.Carve.open_video` makes one.

    Its frames are encoded once, and the prompt through them is run once. Threads may share an
    instance.
    """

    def __init__(self, model: Model, video: Video, reserve: int) -> None:
        """Read and encode a clip; arguments and errors as for :meth:`ClipEncoder.encode`."""
        usage = Usage()
        self._model, self._video = model, video
        self._encoder = ClipEncoder(model, video)
        self._clip = self._encoder.encode(reserve, usage)
        self._passes = AttentionPasses(model, self._clip.images)
        #: What it took, seconds by stage and graph runs; no question has them among its own.
        self.timings, self.counts = usage.clock.finish(), usage.counts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to release: the cache goes with the last reference."""

    @property
    def seen(self) -> Seen:
        """Which frames the model sees, and when they are shown."""
        return self._clip.seen

    @property
    def nbytes(self) -> int:
        """Bytes that the session holds, room for passes included."""
        return self._passes.nbytes

    def plain(
        self,
        question: str,
        *,
        max_new_tokens: int | None = None,
        on_token: OnToken | None = None,
    ) -> PlainResult:
        """Answer a question with one pass over all frames that are seen.

        Args:
            question: what to ask.
            max_new_tokens: most forward steps; the bundle's default if ``None``.
            on_token: receives the answer as it is generated.

        Raises:
            PromptError: the question is empty or too long.
            SettingsError: a value out of range.
        """
        with refusing_memory_errors():
            model = self._model
            request = model.requests.plain(question, max_new_tokens, on_token)
            answer = model.answer(self._clip.images, self._behind(question), "question", request)
            return PlainResult.of(model.text.decode, answer, request.usage)

    def plain_about(
        self,
        question: str,
        *,
        interval: tuple[float, float] | None = None,
        box: Box | None = None,
        frames: int | None = None,
        max_new_tokens: int | None = None,
        on_token: OnToken | None = None,
    ) -> PlainResult:
        """Answer a question with one pass about a part of the clip alone, which you choose.

        Its frames are spread over the interval, and cut to the box and magnified. It is what the
        last pass of :meth:`ask` does, and what to compare that with: an interval that is known, or
        the whole clip in as many frames.

        Args:
            question: what to ask.
            interval: start and end in seconds; the whole clip if ``None``.
            box: half-open (x0, y0, x1, y1) in pixels of the frames; all of them if ``None``.
            frames: most frames; as many as are seen of the whole clip if ``None``.
            max_new_tokens: most forward steps; the bundle's default if ``None``.
            on_token: receives the answer as it is generated.

        Raises:
            PromptError: the question is empty, or it and the frames are too long.
            SettingsError: a value out of range.
            VideoError: the clip cannot be read any more.
        """
        with refusing_memory_errors():
            model, seen = self._model, self.seen
            request = model.requests.plain(question, max_new_tokens, on_token)
            between = (0, seen.count)
            if interval is not None:
                between = frames_between(interval, seen.fps, seen.count)
            if box is not None:
                require_box(box, seen.size)
            if frames is not None:
                require_count("frames", frames)
            answer = self._answer_about(self._excerpt(between, box, frames), question, request)
            return PlainResult.of(model.text.decode, answer, request.usage)

    def ask(
        self,
        question: str,
        *,
        clip_settings: ClipSettings | None = None,
        variant: Variant | None = None,
        on_token: OnToken | None = None,
        **changes: Unpack[SettingsChanges],
    ) -> VideoResult:
        """Answer a question through CARVE over time (``docs/video.md``).

        The contrast of all moments says when, then where; the last pass sees that alone, in more
        frames and closer.

        Args:
            question: what to ask.
            clip_settings: how the clip is refined.
            variant: "v1" to "v4", as for :meth:`carve_runtime.Carve.ask`.
            on_token: receives the text of all three passes as it is generated.
            **changes: fields of :class:`carve_runtime.Settings` that replace the bundle's defaults.

        Raises:
            PromptError: the question is empty or too long.
            SettingsError: an unknown setting, a value out of range, one that clips do not have.
            VideoError: the clip cannot be read any more.
        """
        with refusing_memory_errors():
            requests = self._model.requests
            request = clip_request(requests, self._behind, question, variant, on_token, changes)
            return self._ask(question, request, clip_settings or ClipSettings())

    def _ask(self, question: str, request: Request, clip_settings: ClipSettings) -> VideoResult:
        asked = self._passes.question(request)
        steps = len(asked.attention)
        general = tuple(self._passes.general(each, steps, request) for each in request.general)
        settings = request.settings
        model_input = self._clip.images.model_inputs[0]
        with request.usage.clock.stage("refine"):
            rows = Rows(asked.attention, settings.layers, general, asked.answer)
            fused = fuse(rows, settings)
            focus = find_focus(fused, self.seen, model_input, settings, clip_settings)
        box = focus.box if clip_settings.crop else None
        refined = self._excerpt(focus.interval.frames, box, clip_settings.refined_frames)
        final = self._answer_about(refined, question, request)
        return VideoResult(
            **answer_fields(self._model.text.decode, asked, final, request),
            interval=focus.interval,
            box=box,
            mass=focus.mass,
            saliency=focus.saliency,
            window=model_input.window,
            seen=self.seen,
            refined=refined,
            clip_settings=clip_settings,
        )

    def _excerpt(self, between: tuple[int, int], box: Box | None, most: int | None) -> Excerpt:
        """Return frames of a half-open range, as many as are seen of the whole clip by default."""
        first, stop = between
        indices = spread(first, stop, len(self.seen.frames) if most is None else most)
        fps = len(indices) / (stop - first) * self.seen.fps
        return Excerpt(self._video, indices, fps, box, self._model.max_image_pixels)

    def _answer_about(self, excerpt: Excerpt, question: str, request: Request) -> Pass:
        model, encoder = self._model, ClipEncoder(self._model, excerpt)
        clip = encoder.encode(request.budget.reserve, request.usage)
        text = question_text(question, model.manifest.prompts)
        return model.answer(clip.images, encoder.behind(clip.seen, text), "final", request)

    def attend(self, text: str, *, generate: int = 1) -> ClipAttention:
        """Return where the model looks, in each moment, while it reads a text and answers it.

        Args:
            text: what stands where a question stands.
            generate: most steps: the first one decides the first word of the answer.

        Raises:
            PromptError: the text is empty, or too long for the model's context.
            SettingsError: ``generate`` is out of range.
        """
        with refusing_memory_errors():
            require_count("generate", generate)
            clip, request = self._clip, self._model.requests.plain(text, generate)
            prompt = clip.before, self._behind(text)
            maps = collect_maps(self._model, clip.images, prompt, clip.seen.size, request)
            seconds = tuple(moment.seconds for moment in clip.seen.moments)
            return ClipAttention(tuple(maps), seconds)

    def _behind(self, text: str) -> list[PromptPart]:
        asked = question_text(text, self._model.manifest.prompts)
        return self._encoder.behind(self._clip.seen, asked)
