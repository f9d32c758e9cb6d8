"""One image and any number of questions about it (``docs/method.md``)."""

from __future__ import annotations

import math

from carve_models.out_of_memory import refusing_memory_errors
from carve_models.settings import require_count
from carve_runtime.attention.attention import Attention
from carve_runtime.attention.collect import collect
from carve_runtime.images.change import change_between
from carve_runtime.images.load import ImageInput
from carve_runtime.opened import OpenedImages, Outcome
from carve_runtime.prompt.request import Request
from carve_runtime.result import CarveResult, answer_fields
from carve_runtime.usage import Usage


class ImageSession(OpenedImages[CarveResult]):
    """An image that the model has encoded; :meth:`carve_runtime.Carve.open` makes one.

    What depends on the image alone is computed once: its features, the cache of the prompt up to
    it, and the attention of the general passes. Threads may share an instance.
    """

    def attend(self, text: str, *, generate: int = 1) -> Attention:
        """Return the attention as :meth:`carve_runtime.Carve.attend` does."""
        with refusing_memory_errors():
            require_count("generate", generate)
            return self.attention_of(self._model.requests.plain(text, generate))

    def change(self, image: ImageInput) -> float:
        """Return how much another image differs from this one, as the model sees both.

        Each is brought to what the vision encoder takes, in the pixels that this session was opened
        with, and divided into cells of 4 x 4 pixels. The result is the mean absolute difference of
        the cell that differs most, in levels of 255: 0 for the same image, 255 for black and white,
        infinite for an image of another size. The model does not run.

        Args:
            image: path, encoded bytes, Pillow image, or (H, W, 3) uint8 array.

        Raises:
            ImageError: the image cannot be read.
        """
        with refusing_memory_errors():
            (own,), (seen,), usage = self._pictures, self._images.model_inputs, Usage()
            picture = self._model.decode(image, usage)
            if picture.shape != own.shape:
                return math.inf
            other = self._model.preprocess(picture, self._scout_pixels, usage)
            return change_between(seen, other, self._model.manifest.image)

    def attention_of(self, request: Request) -> Attention:
        """Run one pass about the image, and return what it attends to."""
        height, width = self._pictures[0].shape[:2]
        return collect(self._model, self._images, (width, height), request)

    def _result(self, request: Request, outcome: Outcome) -> CarveResult:
        decode = self._model.text.decode
        (located,), (refined,), (picture,) = outcome.located, outcome.refined, self._pictures
        (model_input,) = self._images.model_inputs
        return CarveResult(
            **answer_fields(decode, outcome.question, outcome.final, request),
            skipped=outcome.skipped,
            image=picture,
            saliency_map=located.saliency,
            refined=refined,
            grid=model_input.grid,
            window=model_input.window,
            question_attention=outcome.question.attention,
            general_attention=outcome.general_attention,
        )
