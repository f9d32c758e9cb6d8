"""Prompts and images as Hugging Face's own processors make them, for tests/reference.py.

One class for each kind of image processor. None uses the product's code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

Window = tuple[float, float, float, float]


class Fixed:
    """LLaVA-1.5: a processor with a centre crop at most."""

    def __init__(self, folder: Path) -> None:
        self.processor = AutoProcessor.from_pretrained(folder)

    def inputs(self, images: list[Image.Image], text: str) -> dict[str, Any]:
        """Return the model's inputs, ``input_ids`` among them."""
        prompt = "<image>" * len(images) + f"\nUSER: {text}\nASSISTANT:"
        inputs = self.processor(images=images, text=prompt, return_tensors="pt")
        return {"input_ids": inputs["input_ids"], "pixel_values": inputs["pixel_values"]}

    def map_tokens(self, image: Image.Image) -> Any:
        """Return which of the image's tokens form its map, in raster order, (rows, columns)."""
        size = self.processor.image_processor.size
        crop = getattr(self.processor.image_processor, "crop_size", None)
        side = (crop or size)["height"] // self.processor.patch_size
        return np.arange(side * side).reshape(side, side)

    def window(self, image: Image.Image) -> Window:
        """Where a centre crop of the resized image lies in the original."""
        rule = self.processor.image_processor
        if not getattr(rule, "do_center_crop", False):
            return 0, 0, image.width, image.height
        scale = min(image.size) / rule.size["shortest_edge"]
        width, height = int(image.width / scale), int(image.height / scale)
        side = rule.crop_size["height"]
        left, top = (width - side) // 2, (height - side) // 2
        return (
            left * image.width / width,
            top * image.height / height,
            (left + side) * image.width / width,
            (top + side) * image.height / height,
        )


class Chat:
    """A chat template whose image token is repeated: what the Hugging Face processors do."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.image_processor = AutoImageProcessor.from_pretrained(folder)
        self.token: str = self.tokenizer.image_token

    def ids(self, spelled: list[str], text: str) -> Any:
        """Return (1, S) ids of a question behind images that are spelled so."""
        content = [{"type": "image"}] * len(spelled) + [{"type": "text", "text": text}]
        chat = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        first, *rest = chat.split(self.token)
        prompt = first + "".join(a + b for a, b in zip(spelled, rest, strict=True))
        return self.tokenizer(prompt, return_tensors="pt")["input_ids"]

    def window(self, image: Image.Image) -> Window:
        """Return the whole image."""
        return 0, 0, image.width, image.height


class Native(Chat):
    """Qwen-VL."""

    def inputs(self, images: list[Image.Image], text: str) -> dict[str, Any]:
        seen = self.image_processor(images, return_tensors="pt")
        counts = seen["image_grid_thw"].prod(dim=1) // self.image_processor.merge_size**2
        ids = self.ids([self.token * int(count) for count in counts], text)
        is_image = ids == self.tokenizer.convert_tokens_to_ids(self.token)
        return {"input_ids": ids, "mm_token_type_ids": is_image.int(), **seen}

    def map_tokens(self, image: Image.Image) -> Any:
        grid = self.image_processor(image, return_tensors="np")["image_grid_thw"][0]
        _, rows, columns = grid // [1, *[self.image_processor.merge_size] * 2]
        return np.arange(rows * columns).reshape(rows, columns)


class Tiled(Chat):
    """Tiles and a view of the whole: the tiles' tokens, put together, form the map."""

    def side(self, image: Image.Image) -> tuple[int, int]:
        """Return (rows, columns) of tiles; zeros if the image is not split."""
        raise NotImplementedError

    def map_tokens(self, image: Image.Image) -> Any:
        rows, columns = self.side(image)
        if rows * columns == 0:
            return np.arange(self.tokens).reshape(self.tile_side, self.tile_side)
        tiles = np.arange(rows * columns * self.tokens)
        parts = tiles.reshape(rows, columns, self.tile_side, self.tile_side)
        return np.vstack([np.hstack(list(row)) for row in parts])

    @property
    def tokens(self) -> int:
        """Tokens of one view."""
        return self.tile_side**2

    tile_side = 2  # of the cases


class Idefics(Tiled):
    """SmolVLM and Idefics3."""

    def side(self, image: Image.Image) -> tuple[int, int]:
        actual = self.image_processor(image, return_row_col_info=True)
        return actual["rows"][0][0], actual["cols"][0][0]

    def inputs(self, images: list[Image.Image], text: str) -> dict[str, Any]:
        seen = self.image_processor([images], return_row_col_info=True, return_tensors="pt")
        spelled = [
            get_image_prompt_string(
                rows,
                columns,
                self.tokens,
                fake_token_around_image="<fake_token_around_image>",
                image_token=self.token,
                global_image_token="<global-img>",
            )
            for rows, columns in zip(seen["rows"][0], seen["cols"][0], strict=True)
        ]
        return {"input_ids": self.ids(spelled, text), "pixel_values": seen["pixel_values"]}


class InternVL(Tiled):
    """InternVL3."""

    def side(self, image: Image.Image) -> tuple[int, int]:
        rule = self.image_processor
        columns, rows = get_optimal_tiled_canvas(
            image.size[::-1], (rule.size["height"],) * 2, rule.min_patches, rule.max_patches
        )
        return (rows, columns) if rows * columns > 1 else (0, 0)

    def inputs(self, images: list[Image.Image], text: str) -> dict[str, Any]:
        seen = self.image_processor(images, crop_to_patches=True, return_tensors="pt")
        views = [self.token * self.tokens * int(count) for count in seen["num_patches"]]
        ids = self.ids([f"<img>{view}</img>" for view in views], text)
        return {"input_ids": ids, "pixel_values": seen["pixel_values"]}


VIEWS: dict[str, Any] = {
    "llava": Fixed,
    "qwen2_5_vl": Native,
    "qwen3_vl": Native,
    "idefics3": Idefics,
    "internvl": InternVL,
}


def with_token(inputs: dict[str, Any], token: int) -> dict[str, Any]:
    """Return a prompt's inputs with one more token."""
    longer = dict(inputs)
    longer["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([[token]])], dim=1)
    if "mm_token_type_ids" in inputs:
        kinds = inputs["mm_token_type_ids"]
        longer["mm_token_type_ids"] = torch.cat([kinds, kinds.new_zeros(1, 1)], dim=1)
    return longer
