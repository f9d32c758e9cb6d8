"""A subject's checkpoint in PyTorch, as its users would run it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, LlavaForConditionalGeneration

from tools.bench.subjects import Subject


class TorchModel:
    """Model, tokenizer and image processor, in float32."""

    def __init__(self, subject: Subject, general: str, *, attention: str) -> None:
        """Load a checkpoint with transformers' attention implementation of that name."""
        self.general = general
        self.model = LlavaForConditionalGeneration.from_pretrained(
            subject.checkpoint, dtype=torch.float32, attn_implementation=attention
        ).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(subject.checkpoint)
        self._processor = AutoImageProcessor.from_pretrained(subject.checkpoint)

    def inputs(self, images: Sequence[Image.Image], question: str) -> dict[str, Any]:
        """Return pixels and ids of a prompt about one or two images."""
        pixels = self._processor(images=list(images), return_tensors="pt").pixel_values
        vision = self.model.config.vision_config
        tokens = (vision.image_size // vision.patch_size) ** 2
        mark = self._tokenizer.convert_ids_to_tokens(self.model.config.image_token_id)
        prompt = f"{mark * tokens * len(images)}\nUSER: {question}\nASSISTANT:"
        return {
            "input_ids": self._tokenizer(prompt, return_tensors="pt").input_ids,
            "pixel_values": pixels,
        }

    def attend_uncached(self, images: Sequence[Image.Image], text: str, steps: int) -> list[Any]:
        """Return each step's attention to the image, (layers, N): all is run again every time."""
        inputs = self.inputs(images, text)
        where = (inputs["input_ids"][0] == self.model.config.image_token_id).nonzero().flatten()
        maps = []
        for _ in range(steps):
            with torch.inference_mode():
                output = self.model(**inputs, output_attentions=True, use_cache=False)
            rows = [layer[0, :, -1].mean(0)[where] for layer in output.attentions]
            maps.append(np.stack([row.numpy() for row in rows]))
            token = output.logits[:, -1:].argmax(-1)
            inputs["input_ids"] = torch.cat([inputs["input_ids"], token], dim=1)
        return maps

    def generate(self, images: Sequence[Image.Image], question: str, tokens: int) -> str:
        """Answer with exactly ``tokens`` tokens, with a cache."""
        inputs = self.inputs(images, question)
        limits: Any = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False}
        with torch.inference_mode():
            ids = self.model.generate(**inputs, **limits)
        return str(self._tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :]))
