"""Peak memory of a loaded and used bundle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tools.bench.context import Context
from tools.shared.figures import Figure
from tools.shared.memory import peak_of
from tools.shared.timing import spread

_BOUND = 1.3
#: The code of libraries is not what is measured.
LIBRARIES = ("onnxruntime", "carve_runtime.carve")


def measure(context: Context) -> Iterator[Figure]:
    """Yield the peak over the weights plus the cache that is declared."""
    for subject in context.subjects:
        peaks = [
            peak_of(_ask_once, subject.bundle, subject.question, imports=LIBRARIES)
            for _ in range(max(1, context.rounds // 3))
        ]
        weights, cache = peaks[0][1]
        note = f"weights {weights / 1e6:.0f} MB, cache {cache / 1e6:.0f} MB"
        value = spread([peak / sum(declared) for peak, declared in peaks])
        yield Figure("peak memory / declared", subject.name, value, reach=_BOUND, note=note)


def _ask_once(bundle: Path, question: str) -> tuple[int, int]:
    """Ask about a grey image; return the bytes of weights and cache that the bundle declares."""
    from carve_runtime import Carve

    vlm = Carve.load(bundle, verify=False)
    image = np.full((480, 640, 3), 128, np.uint8)
    vlm.ask(image, question, max_new_tokens=4)
    files = vlm.manifest.files
    # The halves refer to the whole decoder's weights: every weight counts once.
    weights = sum(entry.size for name, entry in files.items() if name.startswith("onnx/"))
    return weights, vlm.image_cache_nbytes
