"""Pictures of a result, for people who look rather than read."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from carve_models.replacing import replacing
from carve_runtime.method.geometry import RGB, Box

_PANEL_HEIGHT = 360
_MARGIN = 12
_TITLE = 30
_FONT_SIZE = 16
_INK, _PAPER, _BOX = (32, 32, 32), (255, 255, 255), (255, 48, 48)
_DIMMED = 0.25  # brightness of what the mask drops
_HEAT_SHARE = 0.65  # opacity of the heat map over the picture

# Stops of a black - violet - orange - yellow scale, dark to bright for grey-scale printing.
_HEAT_STOPS = np.array(
    [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]],
    np.float64,
)


class Pictured(Protocol):
    """What pictures show of a :class:`carve_runtime.CarveResult`."""

    @property
    def answer(self) -> str:
        """Through CARVE."""

    @property
    def plain_answer(self) -> str | None:
        """Without; ``None`` after an early exit."""

    @property
    def image(self) -> RGB:
        """(H, W, 3) uint8."""

    @property
    def saliency(self) -> NDArray[np.float64]:
        """(H, W); NaN where the model saw nothing."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W), the kept regions."""

    @property
    def bbox(self) -> Box:
        """Their half-open box, in pixels."""

    @property
    def refined_image(self) -> RGB:
        """(h, w, 3) uint8."""


def heat_map(saliency: NDArray[np.float64]) -> RGB:
    """Return a saliency map in colours, (H, W, 3) uint8; NaN is black."""
    finite = np.isfinite(saliency)
    low, high = saliency[finite].min(initial=np.inf), saliency[finite].max(initial=-np.inf)
    level = np.where(finite, saliency - low, 0.0) / max(high - low, np.finfo(np.float64).tiny)
    stops = np.linspace(0, 1, len(_HEAT_STOPS))
    channels = [np.interp(level, stops, column) for column in _HEAT_STOPS.T]
    colors: RGB = np.stack(channels, axis=-1).round().astype(np.uint8)
    return colors


def heat_over(image: RGB, saliency: NDArray[np.float64]) -> RGB:
    """Return an (H, W, 3) image with the colours of a map of its size over it."""
    colors: RGB = (image * (1 - _HEAT_SHARE) + heat_map(saliency) * _HEAT_SHARE).astype(np.uint8)
    return colors


def pictures(result: Pictured) -> dict[str, Image.Image]:
    """Return every intermediate picture by name.

    ``original``, ``saliency`` (heat map alone), ``heat`` (over the original), ``mask``, ``masked``
    (black outside the kept regions), ``regions`` (dimmed outside, with the box), ``refined``.
    """
    image, mask = result.image, result.mask[..., None]
    regions = Image.fromarray(np.where(mask, image, image * _DIMMED).astype(np.uint8))
    x0, y0, x1, y1 = result.bbox
    thickness = max(2, image.shape[0] // 120)
    ImageDraw.Draw(regions).rectangle((x0, y0, x1 - 1, y1 - 1), outline=_BOX, width=thickness)
    return {
        "original": Image.fromarray(image),
        "saliency": Image.fromarray(heat_map(result.saliency)),
        "heat": Image.fromarray(heat_over(image, result.saliency)),
        "mask": Image.fromarray(np.where(result.mask, 255, 0).astype(np.uint8)),
        "masked": Image.fromarray(image * mask),
        "regions": regions,
        "refined": Image.fromarray(result.refined_image),
    }


def draw_result(result: Pictured, question: str = "") -> Image.Image:
    """Return one picture: original | contrast heat map | kept regions | refined image."""
    parts = pictures(result)
    panels = [
        (f"original: {result.plain_answer}", parts["original"]),
        ("contrast", parts["heat"]),
        ("kept regions", parts["regions"]),
        (f"refined: {result.answer}", parts["refined"]),
    ]
    font = ImageFont.load_default(_FONT_SIZE)
    scaled = [(title, _to_height(panel)) for title, panel in panels]
    width = sum(panel.width + _MARGIN for _, panel in scaled) + _MARGIN
    header = _TITLE if question else 0
    height = header + _TITLE + _PANEL_HEIGHT + _MARGIN
    canvas = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(canvas)
    if question:
        title = fit_title(question, width - 2 * _MARGIN, font)
        draw.text((_MARGIN, _TITLE // 3), title, fill=_INK, font=font)
    left = _MARGIN
    for title, panel in scaled:
        draw.text(
            (left, header + _TITLE // 3), fit_title(title, panel.width, font), fill=_INK, font=font
        )
        canvas.paste(panel, (left, header + _TITLE))
        left += panel.width + _MARGIN
    return canvas


def save_pictures(result: Pictured, folder: Path, question: str = "") -> list[Path]:
    """Write every intermediate picture and the overview ``carve`` as PNG; return their paths."""
    named = pictures(result) | {"carve": draw_result(result, question)}
    return [save_picture(picture, folder / f"{name}.png") for name, picture in named.items()]


def save_picture(picture: Image.Image, path: Path) -> Path:
    """Write a picture, complete or not at all."""
    with replacing(path) as aside:
        picture.save(aside)
    return path


def _to_height(panel: Image.Image) -> Image.Image:
    """Scale to the panels' height; what would be too wide is centred on paper."""
    widest = 2 * _PANEL_HEIGHT
    scale = min(_PANEL_HEIGHT / panel.height, widest / panel.width)
    size = max(round(panel.width * scale), 1), max(round(panel.height * scale), 1)
    scaled = panel.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    framed = Image.new("RGB", (size[0], _PANEL_HEIGHT), _PAPER)
    framed.paste(scaled, (0, (_PANEL_HEIGHT - size[1]) // 2))
    return framed


def fit_title(title: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Put a title on one line and cut it where the width ends."""
    title = " ".join(title.split())
    if font.getlength(title) <= width:
        return title
    while title and font.getlength(title + "...") > width:
        title = title[:-1]
    return title + "..."
