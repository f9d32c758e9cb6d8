"""Answers and attention of a checkpoint in PyTorch, many questions at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration

_BATCH = 25
_MAX_NEW_TOKENS = 8


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes:
        text: the answer.
        attention: (steps, layers, image tokens) float32, mean over heads of the last position's
            attention; empty unless asked for.
    """

    text: str
    attention: NDArray[np.float32]


class Checkpoint:
    """A saved checkpoint, ready to answer."""

    def __init__(self, folder: Path) -> None:
        """Load model and processor, in float32 with eager attention."""
        self.model = LlavaForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        self.processor = AutoProcessor.from_pretrained(folder)
        self._image_token = self.model.config.image_token_id

    def ask(
        self,
        images: Sequence[Sequence[Image.Image]],
        questions: Sequence[str],
        *,
        attention: bool = False,
        max_new_tokens: int = _MAX_NEW_TOKENS,
    ) -> list[Reply]:
        """Answer each question about its one or two images, greedily.

        Args:
            images: the images of every question.
            questions: the questions; prompts of one length are answered together.
            attention: whether replies carry attention.
            max_new_tokens: limit of each answer.
        """
        layout = "{images}\nUSER: {question}\nASSISTANT:"
        alike: dict[int, list[int]] = defaultdict(list)
        prompts = []
        for index, (pictures, question) in enumerate(zip(images, questions, strict=True)):
            marks = self.processor.image_token * len(pictures) * self._tokens_per_image
            prompt = layout.format(images=marks, question=question)
            prompts.append(self.processor.tokenizer(prompt).input_ids)
            alike[len(prompts[-1])].append(index)
        replies: dict[int, Reply] = {}
        for indices in alike.values():
            for start in range(0, len(indices), _BATCH):
                some = indices[start : start + _BATCH]
                pixels = self._pixels([picture for i in some for picture in images[i]])
                ids = torch.tensor([prompts[i] for i in some])
                found = self._generate(ids, pixels, attention, max_new_tokens)
                replies.update(zip(some, found, strict=True))
        return [replies[i] for i in range(len(questions))]

    @property
    def _tokens_per_image(self) -> int:
        return int(self.model.config.image_seq_length)

    def _pixels(self, images: list[Image.Image]) -> torch.Tensor:
        found: torch.Tensor = torch.cat(
            [
                self.processor.image_processor(images=image, return_tensors="pt").pixel_values
                for image in images
            ]
        )
        return found

    def _generate(
        self, ids: torch.Tensor, pixels: torch.Tensor, attention: bool, limit: int
    ) -> list[Reply]:
        """Decode prompts of one length, (B, S) int64, with a key-value cache."""
        end = self.model.generation_config.eos_token_id
        where = torch.nonzero(ids[0] == self._image_token).flatten()
        answers: list[list[int]] = [[] for _ in ids]
        maps: list[list[Any]] = [[] for _ in ids]
        running = [True] * len(ids)
        inputs: dict[str, Any] = {"input_ids": ids, "pixel_values": pixels}
        with torch.inference_mode():
            for _ in range(limit):
                output = self.model(**inputs, use_cache=True, output_attentions=attention)
                chosen = output.logits[:, -1].argmax(-1)
                if attention:
                    rows = torch.stack([a[:, :, -1, where].mean(1) for a in output.attentions], 1)
                for i, token in enumerate(chosen.tolist()):
                    if running[i]:
                        if attention:
                            maps[i].append(rows[i].numpy())
                        running[i] = token != end
                        answers[i].extend([token] * running[i])
                if not any(running):
                    break
                inputs = {"input_ids": chosen[:, None], "past_key_values": output.past_key_values}
        decode = self.processor.tokenizer.decode
        empty = np.empty((0, 0, 0), np.float32)
        return [
            Reply(decode(answer).strip(), np.stack(steps) if steps else empty)
            for answer, steps in zip(answers, maps, strict=True)
        ]
