"""How cluttered a picture is, by the paper's two measures (section 3.2)."""

from __future__ import annotations

import math

import cv2
import numpy as np
from PIL import Image

#: Thresholds of Canny's hysteresis on 8-bit grey values; the paper gives none.
_CANNY = (100, 200)
#: OpenCV's hue runs from 0 to 179.
_HUES = 180


def texture_complexity(image: Image.Image) -> float:
    """Return the share of pixels that Canny's detector calls an edge, 0 to 1."""
    gray = cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2GRAY)
    return float((cv2.Canny(gray, *_CANNY) > 0).mean())


def color_complexity(image: Image.Image) -> float:
    """Return the entropy of the hues, 0 for a single one to 1 for all alike often."""
    hsv = cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2HSV)
    counts = np.bincount(hsv[..., 0].ravel(), minlength=_HUES)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum() / math.log(_HUES))
