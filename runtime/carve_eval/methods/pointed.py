"""Crop a square where a map of one decoder layer points, as ViCrop does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carve_eval.benchmarks.benchmark import Question
from carve_eval.methods.cropped import Cropped, Glance
from carve_eval.methods.method import Picture
from carve_eval.methods.windows import sharpest_square, strongest_token
from carve_models.errors import SettingsError
from carve_models.image_rules import ImageRule
from carve_models.settings import Settings
from carve_runtime import CarveResult
from carve_runtime.method.maps import Fusion, Rows, make_map, method_of

#: Side of the least square for models that see images in any size; ViCrop takes it for Qwen2.5-VL.
_SIDE = 224


class Pointed(Cropped):
    """A crop from the map of the prompt's last token, in the one layer of ``layers``."""

    uses = Cropped.uses | {"layers", "method", "contrast", "regularizer"}

    def require(self, settings: Settings) -> None:
        """Refuse several layers, and methods that read more than one step of two passes.

        Which layer is chosen matters, and nothing here can choose it.
        """
        method = method_of(settings)
        if method.answer or method.general == "several":
            raise SettingsError(
                f"this crop reads one step of two passes, and method is {settings.method!r}",
                'choose another one, as in "crop=square method=relative layers=14"',
            )
        if len(settings.layers) != 1:
            raise SettingsError(
                f"this crop reads one layer, and layers is {list(settings.layers)}",
                'name one, as in "crop=square method=relative layers=14"',
            )

    def look(self, picture: Picture, question: Question, settings: Settings) -> Glance:
        """Run the question, and the general instruction if it is read and not known yet."""
        layers, method = settings.layers, method_of(settings)
        asked = picture.first_pass(question.prompt, layers, settings.max_new_tokens)
        general = picture.vlm.manifest.prompts.general
        described = [] if method.general == "none" else [picture.first_pass(general, layers, 1)]
        rows = Rows(_first(asked), layers, tuple(map(_first, described)))
        fusion = Fusion("first", settings.regularizer)
        values = make_map(method, rows, fusion).reshape(asked.grid)
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


def _first(result: CarveResult) -> NDArray[np.float32]:
    """Return the attention of the prompt's last token in the only layer, (1, 1, N)."""
    return result.question_attention[:1]


def _input_side(image: ImageRule) -> int:
    return _SIDE if image.fixed_size is None else max(image.fixed_size)
