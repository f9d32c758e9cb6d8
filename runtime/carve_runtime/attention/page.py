"""An HTML page to look at :class:`carve_runtime.Attention`, in one file that needs no network."""

from __future__ import annotations

import base64
import json
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carve_models.interface import FEATURE
from carve_runtime.attention.attention import Attention
from carve_runtime.attention.pictures import require_same_size
from carve_runtime.method.geometry import RGB
from carve_runtime.pictures import jpeg_address

_TEMPLATE, _DATA = "page.html", "{{ data }}"
_SCRIPT, _WORDS = "words.js", "{{ words }}"
#: Most pixels of the picture in the page.
_MOST_PIXELS = 1 << 20
_BYTE = 255


def attention_page(attention: Attention, image: RGB) -> str:
    """Return the page: point at a word of the answer, choose a layer, see picture and prompt.

    Args:
        attention: what is shown.
        image: (H, W, 3) uint8, what the model was shown.

    Raises:
        SettingsError: the image has another size than the attention speaks of.
    """
    require_same_size(attention, image)
    picture, scale = _jpeg(image)
    mass, entropy = attention.mass(), attention.entropy()
    text = attention.ids != FEATURE
    data = {
        "picture": picture,
        "size": [max(round(side * scale), 1) for side in attention.image_size],
        "window": [side * scale for side in attention.window],
        "grid": attention.grid,
        "layers": attention.layers,
        "text": [token for token, is_text in zip(attention.tokens, text, strict=True) if is_text],
        "steps": [
            {
                "word": attention.words[step],
                "mass": mass[step].tolist(),
                "entropy": entropy[step].tolist(),
                "maps": [
                    _shares(attention.grid_map(step, layer).ravel()) for layer in attention.layers
                ],
                "texts": [
                    _shares(np.array([share for _, share in attention.over_text(step, layer)]))
                    for layer in attention.layers
                ],
            }
            for step in range(attention.steps)
        ],
    }
    template, script = (
        files(__package__).joinpath(name).read_text(encoding="utf-8")
        for name in (_TEMPLATE, _SCRIPT)
    )
    return template.replace(_WORDS, script).replace(_DATA, _script(data))


def _script(data: dict[str, Any]) -> str:
    """Return JSON that ends no script element, whatever the words are."""
    return json.dumps(data).replace("<", "\\u003c")


def _shares(row: NDArray[np.floating[Any]]) -> str:
    """Return a row relative to its largest number, a byte each, in base64."""
    largest = max(float(row.max(initial=0)), np.finfo(np.float32).tiny)
    levels = np.rint(row / largest * _BYTE).astype(np.uint8)
    return base64.b64encode(levels.tobytes()).decode()


def _jpeg(image: RGB) -> tuple[str, float]:
    """Return the address of the picture, smaller if it is large, and how its sides shrank."""
    height, width = image.shape[:2]
    scale = min(1.0, (_MOST_PIXELS / (height * width)) ** 0.5)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return jpeg_address(Image.fromarray(image).resize(size)), scale
