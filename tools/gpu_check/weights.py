"""Make random weights where they are needed: in a bundle's files, and in PyTorch's model."""

from __future__ import annotations

import shutil
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from carve_models.errors import BundleError
from tools.gpu_check.empty import set_parameter
from tools.gpu_check.plan import Place, Plan

#: Files that stay in memory.
_MEMORY = Path("/dev/shm")
#: Copies to files at a time: what takes the time is the system that makes pages.
_THREADS = 8
#: Deviation of all numbers, as transformers initialises matrices.
DEVIATION = 0.02


@contextmanager
def room_for(nbytes: int) -> Iterator[Path]:
    """Give a block an empty folder that takes so many bytes: in memory where that has room."""
    has_room = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > nbytes
    with tempfile.TemporaryDirectory(dir=_MEMORY if has_room else None) as folder:
        yield Path(folder)


def fill(plan: Plan, folder: Path, model: Any, device: str) -> None:
    """Make every parameter of a model, and write those that a bundle reads into its files.

    Args:
        plan: what the bundle reads.
        folder: the bundle's.
        model: its parameters are replaced; on the device "meta" before.
        device: of the parameters from now on.

    Raises:
        BundleError: the bundle reads a weight that the model does not have.
    """
    places: dict[str, list[Place]] = defaultdict(list)
    for place in plan.places:
        places[place.parameter].append(place)
    files = {}
    for name, size in plan.sizes.items():
        files[name] = np.memmap(folder / name, np.uint8, "w+", shape=(size,))

    def write(place: Place, values: torch.Tensor) -> None:
        stored = values.T.contiguous() if place.transposed else values
        part = files[place.file][place.offset : place.offset + stored.nbytes]
        target = torch.from_numpy(part).view(stored.dtype).view(stored.shape)
        target.copy_(stored)

    with ThreadPoolExecutor(_THREADS) as pool:
        waiting = []
        for name, parameter in list(model.named_parameters()):
            values = random_values(name, parameter, device)
            set_parameter(model, name, values)
            for place in places.pop(name, []):
                if place.shape != tuple(values.shape):
                    raise BundleError(
                        f"{name} is {place.shape} in the bundle, {tuple(values.shape)} here",
                        "prepare again with this version of transformers",
                    )
                waiting.append(pool.submit(write, place, values))
        for each in waiting:
            each.result()
    if places:
        raise BundleError(
            f"the model has no {min(places)}", "prepare again with this version of transformers"
        )
    model.tie_weights()
    model.to(device)


def random_values(name: str, parameter: torch.Tensor, device: str) -> torch.Tensor:
    """Return values for a parameter that depend on its name alone, and on the kind of device.

    Norms are near one. Through 32 layers of a 7B numbers stay far within float16.
    """
    seeded = torch.Generator(device).manual_seed(zlib.crc32(name.encode()))
    values = torch.randn(parameter.shape, generator=seeded, dtype=parameter.dtype, device=device)
    values *= DEVIATION
    if parameter.dim() == 1 and name.endswith("weight"):
        values += 1
    return values
