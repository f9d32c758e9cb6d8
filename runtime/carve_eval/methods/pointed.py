"""Crop where the attention of one decoder layer points, as ViCrop does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carve_eval.benchmarks.benchmark import Question
from carve_eval.methods.cropped import Cropped, Glance
from carve_eval.methods.maps import AttentionMap
from carve_eval.methods.method import Picture
from carve_eval.methods.windows import sharpest_square, strongest_token
from carve_models.errors import SettingsError
from carve_models.image_rules import ImageRule
from carve_models.settings import Settings
from carve_runtime import CarveResult

#: Side of the least square for models that see images in any size; ViCrop takes it for Qwen2.5-VL.
_SIDE = 224


class Pointed(Cropped):
    """A crop from the attention of the prompt's last token, in the one layer of ``layers``."""

    uses = Cropped.uses | {"layers"}

    def __init__(self, read: AttentionMap) -> None:
        """Take what makes a map of the two passes."""
        self._read = read

    def require(self, settings: Settings) -> None:
        """Refuse several layers: which one is chosen matters, and nothing here can choose it."""
        if len(settings.layers) != 1:
            raise SettingsError(
                f"this method reads one layer, and layers is {list(settings.layers)}",
                'name one, as in "method=relative layers=14"',
            )

    def look(self, picture: Picture, question: Question, settings: Settings) -> Glance:
        """Run the question, and the general instruction if it was not run about this image."""
        layers = settings.layers
        asked = picture.first_pass(question.prompt, layers, settings.max_new_tokens)
        described = picture.first_pass(picture.vlm.manifest.prompts.general, layers, 1)
        values = self._read(_attention(asked), _attention(described)).reshape(asked.grid)
        height, width = asked.image.shape[:2]
        box = sharpest_square(
            values,
            window=asked.window,
            image_size=(width, height),
            side=_input_side(picture.vlm.manifest.image),
        )
        return Glance(
            plain=str(asked.plain_answer),
            box=box,
            peak=strongest_token(values, asked.window),
            entropy=asked.entropy,
            probability=asked.plain_probability,
        )


def _attention(result: CarveResult) -> NDArray[np.float32]:
    """Return the attention of the prompt's last token in the only layer, (N,)."""
    return np.asarray(result.question_attention[0, 0])


def _input_side(image: ImageRule) -> int:
    return _SIDE if image.fixed_size is None else max(image.fixed_size)
