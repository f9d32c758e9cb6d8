"""Peak memory of a piece of work, in a process of its own.

python -m tools.bench.memory BUNDLE [--question TEXT]
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import numpy as np

_KILOBYTE = 1024


def peak_bytes() -> int:
    """Return the largest resident size that this process has had so far."""
    for row in Path("/proc/self/status").read_text().splitlines():
        if row.startswith("VmHWM:"):
            return int(row.split()[1]) * _KILOBYTE
    raise OSError("/proc/self/status has no VmHWM")


def peak_of(work: Callable[..., Any], *args: Any) -> tuple[int, Any]:
    """Return the bytes that some work adds to a process's peak, and what it returns."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (work, *args))


def _measured(work: Callable[..., Any], *args: Any) -> tuple[int, Any]:
    import_module("onnxruntime")  # the code of libraries is not what is measured
    import_module("carve_runtime.carve")

    before = peak_bytes()
    result = work(*args)
    return peak_bytes() - before, result


def ask_once(bundle: Path, question: str) -> dict[str, int]:
    """Load a bundle, ask once about a grey image, return what it declares, in bytes."""
    from carve_runtime import Carve

    vlm = Carve.load(bundle, verify=False)
    image = np.full((480, 640, 3), 128, np.uint8)
    vlm.ask(image, question, max_new_tokens=4)
    files = vlm.manifest.files
    # The halves refer to the whole decoder's weights: every weight counts once.
    weights = sum(entry.size for name, entry in files.items() if name.startswith("onnx/"))
    return {"weights": weights, "cache": vlm.image_cache_nbytes}


@click.command()
@click.argument("bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--question", default="What is this?")
def main(bundle: Path, question: str) -> None:
    """Print peak memory, weights and cache of BUNDLE as JSON, in bytes."""
    peak, declared = peak_of(ask_once, bundle, question)
    ratio = peak / sum(declared.values())
    json.dump({"peak": peak, **declared, "ratio": ratio}, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
