"""One prepared model with weights: in the product, and in transformers."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from PIL import Image

from carve_export.checkpoint.weights import DTYPES
from carve_models.folder import FileEntry
from carve_models.manifest import Manifest, read_manifest, write_manifest
from carve_models.names import TOKENIZER_FILE
from carve_runtime import Carve
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.decoder.decoder import Decoder
from carve_runtime.prompt.request import RequestBuilder
from carve_runtime.prompt.text import PromptPart, Text
from tools.gpu_check.device import Device
from tools.gpu_check.empty import empty_model, set_parameter
from tools.gpu_check.int4 import int4_decoder
from tools.gpu_check.peer import Array, Peer
from tools.gpu_check.plan import read_plan
from tools.gpu_check.weights import DEVIATION, fill, room_for

_PICTURE = (1024, 768)
_SEED = 0
QUESTION = "What is written on the sign above the door of the house?"


class Subject:
    """A model of random weights; its answers never end by themselves.

    Attributes:
        name: of the model.
        image: what is asked about.
        requests: its prompts.
    """

    def __init__(self, name: str, prepared: Path, device: Device) -> None:
        """Make the weights, in the bundle's files and in PyTorch; :meth:`close` removes them."""
        self.name, self._device = name, device
        plan = read_plan(prepared)
        self.nbytes = plan.nbytes
        start = perf_counter()
        with ExitStack() as stack:
            self._folder = stack.enter_context(room_for(plan.nbytes)) / name
            shutil.copytree(prepared, self._folder)
            self._dtype = DTYPES[plan.dtype]
            model = empty_model(self._folder, self._dtype, "sdpa")
            fill(plan, self._folder, model, device.torch)
            self._stack = stack.pop_all()
        self.seconds = perf_counter() - start
        manifest = _with_weights(read_manifest(self._folder), plan.sizes)
        never = replace(manifest.decoder, eos_token_ids=(manifest.decoder.vocab_size,))
        self.manifest = replace(manifest, decoder=never)
        write_manifest(self._folder, self.manifest)
        text = Text(self._folder / TOKENIZER_FILE, never.control_ids)
        self.requests = RequestBuilder(self.manifest, text)
        self.sdpa = self._peer(model)
        width, height = _PICTURE
        pixels = np.random.default_rng(_SEED).integers(0, 256, (height, width, 3), np.uint8)
        self.image = Image.fromarray(pixels)

    @cached_property
    def carve(self) -> Carve:
        """The product; it remembers no image."""
        provider = self._device.provider
        return Carve.load(self._folder, verify=False, provider=provider, image_cache_bytes=0)

    @cached_property
    def eager(self) -> Peer:
        """The weights of :attr:`sdpa`, with eager attention."""
        return self._like("eager", self._dtype)

    def observe_widened(
        self, parts: Sequence[PromptPart], stops: Sequence[int]
    ) -> tuple[list[Array], list[Array]]:
        """Return what the model computes in float32, see :meth:`Peer.observe`.

        Its weights are copies, which are gone afterwards.
        """
        wide = self._like("eager", torch.float32)
        result = wide.observe(wide.arguments(parts, [self.image]), stops)
        del wide
        _collect()
        return result

    @contextmanager
    def in_int4(self) -> Iterator[Decoder]:
        """Give a block the decoder in int4, of random numbers; its files are removed then."""
        with room_for(self.nbytes // 2) as folder:
            bundle = int4_decoder(self._folder, self.manifest, folder, DEVIATION)
            yield Decoder(bundle, BackendSettings(provider=self._device.provider))

    def _like(self, attention: str, dtype: torch.dtype) -> Peer:
        model = empty_model(self._folder, dtype, attention)
        for name, parameter in self.sdpa.model.named_parameters():
            set_parameter(model, name, parameter.data.to(dtype))
        model.tie_weights()
        return self._peer(model.to(self._device.torch))

    def _peer(self, model: torch.nn.Module) -> Peer:
        return Peer(model, self.manifest, self.requests)

    def release_runtime(self) -> None:
        """Free what the product holds; it is loaded again when it is asked for."""
        self.__dict__.pop("carve", None)
        _collect()

    def close(self) -> None:
        """Free everything and remove the files."""
        stack = self._stack
        self.__dict__.clear()
        _collect()
        stack.close()


def _with_weights(manifest: Manifest, sizes: Mapping[str, int]) -> Manifest:
    """List the files of the weights. Of numbers that were made just now no sum is compared."""
    entries = {name: FileEntry(size=size, sha256="") for name, size in sizes.items()}
    return replace(manifest, files={**manifest.files, **entries})


def _collect() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
