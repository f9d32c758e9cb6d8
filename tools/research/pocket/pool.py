"""Rendered views in memory-mapped files: made once, read by every stage of training."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import click
import numpy as np

from carve_eval.reporting.progress import progress
from carve_models.replacing import replacing
from tools.research.pocket.world.easy import image_paths, load_pair
from tools.research.pocket.world.views import (
    MAX_OBJECTS,
    OBJECT,
    SIDE,
    View,
    any_scene,
    crowded_scene,
    sample_crop,
    sample_view,
    whole_view,
)
from tools.shared.log import start_log

PoolName = Literal["single", "pair", "easy", "crowd"]
_PAIRED: frozenset[PoolName] = frozenset({"pair", "easy"})
_SHARD = 2000
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class PoolSpec:
    """How many samples are rendered, and from which seed."""

    single: int = 36_000
    pair: int = 12_000
    crowd: int = 8_000
    seed: int = 1

    def shards(self) -> Iterator[tuple[PoolName, int, int]]:
        """Yield (pool, shard, number of samples)."""
        counts: dict[PoolName, int] = {
            "single": self.single,
            "easy": len(image_paths("train")),
            "pair": self.pair,
            "crowd": self.crowd,
        }
        for name, count in counts.items():
            for shard in range(-(-count // _SHARD)):
                yield name, shard, min(_SHARD, count - shard * _SHARD)


class Pool:
    """The shards of one pool, read lazily.

    A sample is one view, or two in the pools of ``_PAIRED``: a picture and a crop of it.
    """

    def __init__(self, folder: Path, name: PoolName) -> None:
        """Open every shard that ``render`` wrote to the folder."""
        paths = sorted(folder.glob(f"{name}-*-pixels.npy"))
        if not paths:
            raise FileNotFoundError(
                f"no pool {name!r} in {folder}: run tools.research.pocket.pool first"
            )
        self._pixels = [np.load(path, mmap_mode="r") for path in paths]
        objects = [path.with_name(path.name.replace("pixels", "objects")) for path in paths]
        self._objects = [np.load(path) for path in objects]
        self._ends = np.cumsum([len(pixels) for pixels in self._pixels])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> list[View]:
        shard = int(np.searchsorted(self._ends, index, side="right"))
        row = index - (int(self._ends[shard - 1]) if shard else 0)
        pairs = zip(self._pixels[shard][row], self._objects[shard][row], strict=True)
        return [View(np.array(pixels), rows[rows["visible"] > 0]) for pixels, rows in pairs]


def _sample(name: PoolName, rng: np.random.Generator, index: int) -> list[View]:
    if name == "easy":
        return load_pair(rng, "train", index)
    if name == "single":
        return [sample_view(rng, "train")]
    if name == "crowd":
        return [whole_view(crowded_scene(rng, "train"))]
    scene = any_scene(rng, "train")
    return [whole_view(scene), sample_crop(rng, scene)]


def _render_shard(folder: Path, seed: int, name: PoolName, shard: int, count: int) -> None:
    """Write one shard; a shard that exists is complete, because it is renamed at the end."""
    path = folder / f"{name}-{shard:03d}-pixels.npy"
    if path.exists():
        return
    rng = np.random.default_rng([seed, get_args(PoolName).index(name), shard])
    views = 2 if name in _PAIRED else 1
    pixels = np.zeros((count, views, SIDE, SIDE, 3), np.uint8)
    objects = np.zeros((count, views, MAX_OBJECTS), OBJECT)
    for row in range(count):
        for column, view in enumerate(_sample(name, rng, shard * _SHARD + row)):
            pixels[row, column] = view.pixels
            objects[row, column, : len(view.objects)] = view.objects
    np.save(folder / f"{name}-{shard:03d}-objects.npy", objects)
    with replacing(path) as aside:
        np.save(aside, pixels)


@click.command(context_settings={"show_default": True})
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/pocket"))
@click.option("--single", default=PoolSpec.single, help="Number of single views.")
@click.option("--pair", default=PoolSpec.pair, help="Number of scene-and-crop pairs.")
@click.option("--crowd", default=PoolSpec.crowd, help="Number of views full of texts.")
@click.option("--seed", default=PoolSpec.seed)
@click.option("--processes", default=2)
def main(out: Path, single: int, pair: int, crowd: int, seed: int, processes: int) -> None:
    """Render the training views into OUT/pool; shards that exist are kept."""
    folder = out / "pool"
    folder.mkdir(parents=True, exist_ok=True)
    start_log(out / "pool.log")
    shards = list(PoolSpec(single, pair, crowd, seed).shards())
    with ProcessPoolExecutor(processes) as executor:
        jobs = [executor.submit(_render_shard, folder, seed, *shard) for shard in shards]
        for (name, shard, _), job in zip(progress(shards, "rendering"), jobs, strict=True):
            job.result()
            _LOG.info("%s shard %d", name, shard)


if __name__ == "__main__":
    main()
