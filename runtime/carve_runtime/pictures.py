"""Pictures of a result, for people who look rather than read."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from carve_models.errors import SettingsError
from carve_models.replacing import replacing
from carve_runtime.method.geometry import RGB, Box

#: Most pixels of a side, by the end of a file's name; PNG has room for what fits into memory.
_LONGEST_SIDES = {".webp": 16383, ".jpg": 65500, ".jpeg": 65500}

_PANEL_HEIGHT = 360
_MARGIN = 12
_TITLE = 30
_FONT_SIZE = 16
_INK, _PAPER, _BOX = (32, 32, 32), (255, 255, 255), (255, 48, 48)
_ROW_HEIGHT = _TITLE + _PANEL_HEIGHT + _MARGIN
_DIMMED = 4  # how many times darker what the mask drops is
#: Pixels that are coloured at a time.
_STRIP_PIXELS = 1 << 18
_HEAT_SHARE = 0.65  # opacity of the heat map over the picture

# Stops of a black - violet - orange - yellow scale, dark to bright for grey-scale printing.
_HEAT_STOPS = np.array(
    [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]],
    np.float64,
)


#: The lowest and the highest value of a scale of colours.
Limits: TypeAlias = tuple[float, float]


class Refinement(Protocol):
    """What pictures show of an image and what is kept of it."""

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
    def bbox(self) -> Box | None:
        """Their half-open box, in pixels; ``None`` without any."""

    @property
    def refined_image(self) -> RGB | None:
        """(h, w, 3) uint8; ``None`` where nothing is kept."""


class Pictured(Refinement, Protocol):
    """What pictures show of a :class:`carve_runtime.CarveResult`."""

    @property
    def answer(self) -> str:
        """Through CARVE."""

    @property
    def plain_answer(self) -> str | None:
        """Without; ``None`` after an early exit."""


def limits_of(saliency: NDArray[np.float64]) -> Limits:
    """Return the least and the greatest value of a map that are not NaN."""
    low = np.fmin.reduce(saliency, axis=None, initial=np.inf)  # no copy, unlike a mask of NaN
    return float(low), float(np.fmax.reduce(saliency, axis=None, initial=-np.inf))


def heat_map(saliency: NDArray[np.float64], limits: Limits | None = None) -> RGB:
    """Return a saliency map in colours, (H, W, 3) uint8; NaN is black.

    Args:
        saliency: (H, W).
        limits: of the scale; those of the map if ``None``.
    """
    low, high = limits_of(saliency) if limits is None else limits
    colors: RGB = np.empty((*saliency.shape, 3), np.uint8)
    for rows in _strips(saliency.shape):
        colors[rows] = _colored(saliency[rows], low, high)
    return colors


def heat_over(image: RGB, saliency: NDArray[np.float64], limits: Limits | None = None) -> RGB:
    """Return an (H, W, 3) image with the colours of a map of its size over it."""
    colors = heat_map(saliency, limits)
    for rows in _strips(saliency.shape):
        colors[rows] = image[rows] * (1 - _HEAT_SHARE) + colors[rows] * _HEAT_SHARE
    return colors


def _strips(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield rows that are computed at a time: of a photograph, real numbers take gigabytes."""
    height, width = shape
    step = max(_STRIP_PIXELS // width, 1)
    return (slice(start, start + step) for start in range(0, height, step))


def _colored(saliency: NDArray[np.float64], low: float, high: float) -> RGB:
    level = np.where(np.isfinite(saliency), saliency - low, 0.0)
    level /= max(high - low, np.finfo(np.float64).tiny)
    stops = np.linspace(0, 1, len(_HEAT_STOPS))
    channels = [np.interp(level, stops, column) for column in _HEAT_STOPS.T]
    colors: RGB = np.stack(channels, axis=-1).round().astype(np.uint8)
    return colors


def regions_picture(result: Refinement) -> RGB:
    """Return the image, dark outside the kept regions, with their box."""
    image, mask = result.image, result.mask[..., None]
    picture = Image.fromarray(np.where(mask, image, image // _DIMMED))
    if result.bbox is not None:
        x0, y0, x1, y1 = result.bbox
        thickness = max(2, image.shape[0] // 120)
        ImageDraw.Draw(picture).rectangle((x0, y0, x1 - 1, y1 - 1), outline=_BOX, width=thickness)
    return np.asarray(picture)


#: Every intermediate picture by name: what makes it, or ``None`` where there is nothing to show.
_PICTURES: dict[str, Callable[[Refinement], NDArray[np.uint8] | None]] = {
    "original": lambda result: result.image,
    "saliency": lambda result: heat_map(result.saliency),
    "heat": lambda result: heat_over(result.image, result.saliency),
    "mask": lambda result: result.mask * np.uint8(255),
    "masked": lambda result: result.image * result.mask[..., None],
    "regions": regions_picture,
    "refined": lambda result: result.refined_image,
}


def pictures(result: Refinement) -> dict[str, Image.Image]:
    """Return every intermediate picture by name.

    ``original``, ``saliency`` (heat map alone), ``heat`` (over the original), ``mask``, ``masked``
    (black outside the kept regions), ``regions`` (dimmed outside, with the box), ``refined``, which
    is missing where nothing is kept.
    """
    return dict(_made(result))


def _made(result: Refinement) -> Iterator[tuple[str, Image.Image]]:
    """Yield every intermediate picture: of a photograph, all at once are large."""
    for name, make in _PICTURES.items():
        pixels = make(result)
        if pixels is not None:
            yield name, Image.fromarray(pixels)


@dataclass(frozen=True)
class _Reduced:
    """A result of which every ``factor``-th row and column is left; a :class:`Refinement`."""

    whole: Refinement
    factor: int

    @property
    def image(self) -> RGB:
        return np.asarray(Image.fromarray(self.whole.image).reduce(self.factor))

    @property
    def saliency(self) -> NDArray[np.float64]:
        return self.whole.saliency[:: self.factor, :: self.factor]

    @property
    def mask(self) -> NDArray[np.bool_]:
        return self.whole.mask[:: self.factor, :: self.factor]

    @property
    def bbox(self) -> Box | None:
        if self.whole.bbox is None:
            return None
        x0, y0, x1, y1 = self.whole.bbox
        return (
            x0 // self.factor,
            y0 // self.factor,
            -(-x1 // self.factor),
            -(-y1 // self.factor),
        )

    @property
    def refined_image(self) -> RGB | None:
        return self.whole.refined_image


def small_enough(result: Refinement) -> Refinement:
    """Return a result in the size of the overview's panels."""
    height, width = result.image.shape[:2]
    return _Reduced(result, max(int(1 / _panel_scale((width, height))), 1))


def draw_result(result: Pictured, question: str = "") -> Image.Image:
    """Return one picture: original | contrast heat map | kept regions | refined image."""
    small = small_enough(result)
    titles = {
        "original": f"original: {result.plain_answer}",
        "heat": "contrast",
        "regions": "kept regions",
        "refined": f"refined: {result.answer}",
    }
    return draw_panels(
        [[(title, _PICTURES[name](small)) for name, title in titles.items()]], question
    )


def draw_panels(
    rows: Sequence[Sequence[tuple[str, NDArray[np.uint8] | None]]], heading: str = ""
) -> Image.Image:
    """Return rows of titled pictures, all of one height; what is ``None`` is left out."""
    font = ImageFont.load_default(_FONT_SIZE)
    scaled = [
        [
            (title, _to_height(Image.fromarray(pixels)))
            for title, pixels in row
            if pixels is not None
        ]
        for row in rows
    ]
    width = max(sum(panel.width + _MARGIN for _, panel in row) for row in scaled) + _MARGIN
    header = _TITLE if heading else 0
    canvas = Image.new("RGB", (width, header + len(rows) * _ROW_HEIGHT), _PAPER)
    draw = ImageDraw.Draw(canvas)
    if heading:
        line = fit_title(heading, width - 2 * _MARGIN, font)
        draw.text((_MARGIN, _TITLE // 3), line, fill=_INK, font=font)
    for top, row in zip(count(header, _ROW_HEIGHT), scaled, strict=False):
        left = _MARGIN
        for title, panel in row:
            line = fit_title(title, panel.width, font)
            draw.text((left, top + _TITLE // 3), line, fill=_INK, font=font)
            canvas.paste(panel, (left, top + _TITLE))
            left += panel.width + _MARGIN
    return canvas


def save_steps(result: Refinement, folder: Path) -> list[Path]:
    """Write every intermediate picture as PNG; return their paths."""
    return [save_picture(picture, folder / f"{name}.png") for name, picture in _made(result)]


def save_picture(picture: Image.Image, path: Path) -> Path:
    """Write a picture, complete or not at all.

    Raises:
        SettingsError: it has more pixels than a file of that name can hold.
    """
    longest = _LONGEST_SIDES.get(path.suffix.lower(), math.inf)
    if max(picture.size) > longest:
        raise SettingsError(
            f"the picture of {picture.width} x {picture.height} pixels does not fit into "
            f"{path.name}: a side of that format has at most {longest}",
            "end the name in .png",
        )
    with replacing(path) as aside:
        picture.save(aside)
    return path


def encode_picture(picture: Image.Image, kind: Literal["PNG", "JPEG"] = "PNG") -> bytes:
    """Return the bytes of a picture's file."""
    stream = BytesIO()
    picture.save(stream, kind)
    return stream.getvalue()


def jpeg_address(picture: Image.Image) -> str:
    """Return a picture as an address that a page can show without a file."""
    return f"data:image/jpeg;base64,{base64.b64encode(encode_picture(picture, 'JPEG')).decode()}"


def _panel_scale(size: tuple[int, int]) -> float:
    """Return what makes a picture of (width, height) fit into a panel, at most twice as wide."""
    width, height = size
    return min(_PANEL_HEIGHT / height, 2 * _PANEL_HEIGHT / width)


def _to_height(panel: Image.Image) -> Image.Image:
    """Scale to the panels' height; what would be too wide is centred on paper."""
    scale = _panel_scale(panel.size)
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
