"""The same model in transformers, on the same device: what the product is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from carve_models import names
from carve_models.families.family import Family
from carve_models.families.registry import family_of
from carve_models.interface import FEATURE
from carve_models.manifest import Manifest
from carve_runtime.images.model_input import ModelInput
from carve_runtime.images.preprocess import preprocess
from carve_runtime.prompt.chunk import prompt_ids
from carve_runtime.prompt.request import RequestBuilder
from carve_runtime.prompt.text import PromptPart

Array = NDArray[np.float32]

#: What models call the argument that tells image tokens (1) from text (0).
_TOKEN_KINDS = {"token_type_ids", "mm_token_type_ids"}


class Peer:
    """A model of transformers. Images are prepared, and prompts are made, as the product does."""

    def __init__(self, model: Any, manifest: Manifest, requests: RequestBuilder) -> None:
        """Take a model whose parameters are on the device that is to be used."""
        self.model = model
        self._manifest, self._requests = manifest, requests
        family = family_of(type(model).__name__)
        assert family is not None
        self._family: Family = family
        self._accepted = _TOKEN_KINDS & set(signature(model.forward).parameters)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(iter(self.model.parameters())).device

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return next(iter(self.model.parameters())).dtype

    def inputs(self, images: Sequence[Image.Image], question: str) -> dict[str, torch.Tensor]:
        """Return the model's arguments for a prompt about one or two images."""
        prompt = self._requests.plain(question).prompt
        rest = prompt.single if len(images) == 1 else prompt.pair
        return self.arguments([*self._requests.prefix(), *rest], images)

    def arguments(
        self, parts: Sequence[PromptPart], images: Sequence[Image.Image]
    ) -> dict[str, torch.Tensor]:
        """Return the model's arguments for parts of a prompt."""
        rule = self._manifest.image
        seen = [preprocess(np.asarray(image), rule) for image in images]
        ids = prompt_ids(parts, seen)
        is_image = ids == FEATURE
        image_id = self._manifest.decoder.image_token_id
        arguments = {"input_ids": torch.from_numpy(np.where(is_image, image_id, ids)[None])}
        for name in self._accepted:
            arguments[name] = torch.from_numpy(is_image[None].astype(np.int64))
        arguments |= self._image_arguments(seen)
        return {
            name: value.to(self.device, self.dtype if value.is_floating_point() else None)
            for name, value in arguments.items()
        }

    def _image_arguments(self, seen: Sequence[ModelInput]) -> dict[str, torch.Tensor]:
        pixels = torch.cat([torch.from_numpy(one.feeds[names.PIXEL_VALUES]) for one in seen])
        images = self._family.images
        arguments = {"pixel_values": pixels[None] if images.nested else pixels}
        if images.grid_argument is not None:
            merge = self.model.config.vision_config.spatial_merge_size
            grids = [(1, *(side * merge for side in one.grid)) for one in seen]
            arguments[images.grid_argument] = torch.tensor(grids)
        return arguments

    def generate(self, images: Sequence[Image.Image], question: str, tokens: int) -> list[int]:
        """Answer with exactly ``tokens`` tokens, with a cache; return their ids."""
        inputs = self.inputs(images, question)
        limits = {"max_new_tokens": tokens, "min_new_tokens": tokens}
        with torch.inference_mode():
            ids = self.model.generate(**inputs, **limits, do_sample=False)
        new: list[int] = ids[0, inputs["input_ids"].shape[1] :].tolist()
        return new

    def attend_uncached(self, images: Sequence[Image.Image], text: str, steps: int) -> list[Array]:
        """Return each step's attention to the image, (layers, N): all is run again every time."""
        inputs = self.inputs(images, text)
        where = (inputs["input_ids"][0] == self._manifest.decoder.image_token_id).nonzero()[:, 0]
        maps = []
        for _ in range(steps):
            with torch.inference_mode():
                output = self.model(**inputs, output_attentions=True, use_cache=False)
            rows = [layer[0, :, -1].float().mean(0)[where] for layer in output.attentions]
            maps.append(torch.stack(rows).cpu().numpy())
            token = output.logits[:, -1:].argmax(-1)
            inputs["input_ids"] = torch.cat([inputs["input_ids"], token], dim=1)
            for name in self._accepted:
                inputs[name] = torch.cat([inputs[name], torch.zeros_like(token)], dim=1)
        return maps

    def observe(
        self, arguments: dict[str, torch.Tensor], stops: Sequence[int]
    ) -> tuple[list[Array], list[Array]]:
        """Return what one eager pass computes at the ends of chunks.

        Returns:
            of each stop the logits, (V,), and the tapped layers' last row, (L, stop).
        """
        with torch.inference_mode():
            output = self.model(**arguments, use_cache=False, output_attentions=True)
        last = [stop - 1 for stop in stops]
        logits = output.logits[0, last].float().cpu().numpy()
        tapped = [output.attentions[layer] for layer in self._manifest.decoder.tapped_layers]
        rows = [
            torch.stack([layer[0, :, stop - 1, :stop].float().mean(0) for layer in tapped])
            for stop in stops
        ]
        return list(logits), [row.cpu().numpy() for row in rows]

    @property
    def text_model(self) -> Any:
        """The decoder's layers."""
        return self.model.get_submodule(self._family.modules.text_model)

    @property
    def lm_head(self) -> Any:
        """States to logits."""
        return self.model.get_submodule(self._family.modules.lm_head)

    def step(self, embeds: torch.Tensor, positions: torch.Tensor, cache: Any) -> int:
        """Run the text model over embeddings behind a cache; return the likeliest token."""
        with torch.inference_mode():
            return int(self.logits(embeds, positions, cache).argmax())

    def logits(self, embeds: torch.Tensor, positions: torch.Tensor, cache: Any) -> torch.Tensor:
        """Run the text model over embeddings behind a cache; return (1, 1, V), of the last."""
        states = self.text_model(
            inputs_embeds=embeds, position_ids=positions, past_key_values=cache, use_cache=True
        ).last_hidden_state
        logits: torch.Tensor = self.lm_head(states[:, -1:])
        return logits
