"""One clip and any number of questions about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carve_models.out_of_memory import refusing_memory_errors
from carve_models.settings import require_count
from carve_runtime.attention.collect import collect_maps
from carve_runtime.decoder.model import Model
from carve_runtime.prompt.request import OnToken
from carve_runtime.prompt.text import PromptPart, question_text
from carve_runtime.result import PlainResult
from carve_runtime.usage import Usage
from carve_runtime.video.attention import ClipAttention
from carve_runtime.video.clip import ClipEncoder, Seen
from carve_runtime.video.video import Video

if TYPE_CHECKING:
    from typing_extensions import Self


class VideoSession:
    """A clip that the model has encoded; :meth:`carve_runtime.Carve.open_video` makes one.

    Its frames are encoded once, and the prompt through them is run once. Threads may share an
    instance.
    """

    def __init__(self, model: Model, video: Video, reserve: int) -> None:
        """Read and encode a clip; arguments and errors as for :meth:`ClipEncoder.encode`."""
        usage = Usage()
        self._model, self._encoder = model, ClipEncoder(model, video)
        self._clip = self._encoder.encode(reserve, usage)
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
        return self._clip.images.nbytes

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
            prompt, usage = self._behind(question), request.usage
            answer = model.answer(self._clip.images, prompt, "question", request)
            return PlainResult(
                answer=model.text.decode(answer.ids),
                token_ids=answer.ids,
                probability=answer.probability,
                timings=usage.clock.finish(),
                counts=usage.counts,
            )

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
