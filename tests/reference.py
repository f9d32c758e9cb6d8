"""CARVE in PyTorch: slow, independent of the product, and obviously what docs/method.md says.

Eager attention, no cache, a full forward call for every token, every map resized on its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from transformers import AutoModelForImageTextToText

from tests.hugging_face import VIEWS, with_token

GENERAL = "Write a general description of the image."


@dataclass
class ReferencePass:
    """Answer ids without end-of-sequence, and (T, layers, N) attention to the first image."""

    ids: list[int]
    attention: Any


@dataclass
class ReferenceResult:
    """Everything that the pipeline computes on its way."""

    question: ReferencePass
    general: ReferencePass
    grid: tuple[int, int]
    saliency: Any
    threshold: float
    mask: Any
    box: tuple[int, int, int, int]
    refined: Image.Image
    final: ReferencePass


class Reference:
    """One checkpoint."""

    def __init__(self, folder: Path, suffix: str, family: str = "llava") -> None:
        self.model = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        self.views = VIEWS[family](folder)
        self.suffix = suffix
        eos = self.model.generation_config.eos_token_id
        self.known: dict[Any, ReferencePass] = {}
        self.stop = {eos} if isinstance(eos, int) else set(eos)

    def run(self, images: list[Image.Image], text: str, max_new_tokens: int) -> ReferencePass:
        """Answer greedily; what was asked before is not computed again."""
        key = (*(image.tobytes() for image in images), text, max_new_tokens)
        if key not in self.known:
            self.known[key] = self.compute(images, text, max_new_tokens)
        return self.known[key]

    @torch.no_grad()
    def compute(self, images: list[Image.Image], text: str, max_new_tokens: int) -> ReferencePass:
        text = f"{text} {self.suffix}" if self.suffix else text
        inputs = self.views.inputs(images, text)
        start = inputs["input_ids"].shape[1]
        where = (inputs["input_ids"][0] == self.model.config.image_token_id).nonzero().flatten()
        map_tokens = where[self.views.map_tokens(images[0]).ravel()]
        maps = []
        for _ in range(max_new_tokens):
            output = self.model(**inputs, use_cache=False, output_attentions=True)
            rows = [layer[0, :, -1].mean(dim=0)[map_tokens] for layer in output.attentions]
            maps.append(torch.stack(rows).numpy())
            token = int(output.logits[0, -1].argmax())
            if token in self.stop:
                break
            inputs = with_token(inputs, token)
        return ReferencePass(inputs["input_ids"][0, start:].tolist(), np.stack(maps))

    def ask(self, image: Image.Image, question: str, s: Any) -> ReferenceResult:
        """Run the whole method with a :class:`carve_models.Settings`."""
        asked = self.run([image], question, s.max_new_tokens)
        general = self.run([image], GENERAL, s.max_new_tokens)
        grid = self.views.map_tokens(image).shape
        window = self.views.window(image) if s.geometry == "input" else (0, 0, *image.size)
        saliency = fuse(asked.attention, general.attention, grid, image.size, window, s)
        threshold = float(np.nanpercentile(saliency, (1 - s.mask_top_p) * 100))
        mask = select(saliency, threshold, s)
        ys, xs = np.nonzero(mask)
        box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
        black = Image.fromarray(np.asarray(image) * mask[..., None].astype(np.uint8)).crop(box)
        scale = max(image.width / black.width, image.height / black.height)
        size = int(black.width * scale), int(black.height * scale)
        limit = 4 * image.width * image.height
        if size[0] * size[1] > limit:
            scale = (limit / (black.width * black.height)) ** 0.5
            size = int(black.width * scale), int(black.height * scale)
        refined = black.resize(size, Image.Resampling.LANCZOS)
        pictures = [image, refined] if s.final_prompt == "pair" else [refined]
        final = self.run(pictures, question, s.max_new_tokens)
        return ReferenceResult(asked, general, grid, saliency, threshold, mask, box, refined, final)


def fuse(q: Any, g: Any, grid: Any, size: Any, window: Any, s: Any) -> Any:
    """Steps 3 and 4. Pillow resizes over the whole image; in a window, every pixel is sampled."""
    common = min(len(q), len(g))
    steps = {"first": [0], "all": range(common), "last": [common - 1]}[s.steps]
    columns = (np.arange(size[0]) + 0.5 - window[0]) / (window[2] - window[0]) * grid[1] - 0.5
    rows = (np.arange(size[1]) + 0.5 - window[1]) / (window[3] - window[1]) * grid[0] - 0.5
    at = np.meshgrid(rows, columns, indexing="ij")
    total = np.zeros(size[::-1])
    for step in steps:
        for layer in s.layers:
            contrast = q[step, layer] / (g[step, layer] + s.regularizer)
            contrast = contrast.reshape(grid).astype(np.float32)
            if window == (0, 0, *size):
                picture = Image.fromarray(contrast).resize(size, Image.Resampling.BILINEAR)
                resized = np.asarray(picture, np.float64)
            else:
                resized = ndimage.map_coordinates(contrast, at, np.float64, 1, mode="nearest")
            total += (step + 1 if s.steps == "all" else 1) * resized
    outside = (at[0] < -0.5) | (at[0] >= grid[0] - 0.5) | (at[1] < -0.5) | (at[1] >= grid[1] - 0.5)
    total[outside] = np.nan
    return total


def select(saliency: Any, threshold: float, s: Any) -> Any:
    """Step 6."""
    mask = np.nan_to_num(saliency, nan=-np.inf) >= threshold
    labels, count = ndimage.label(mask)
    regions = [labels == index for index in range(1, count + 1)]
    if s.strategy == "remove_small":
        smallest = int(mask.sum() * s.outlier_percent / 100)
        kept = [region for region in regions if region.sum() >= smallest]
    else:
        by_sum = s.strategy == "attention_sum"
        regions.sort(key=lambda r: saliency[r].sum() if by_sum else r.sum(), reverse=True)
        more = int(count * s.mask_top_p) if s.rule == "released" else 0
        kept = regions[: max(s.max_regions, more)]
    return np.logical_or.reduce(kept)
