"""The sizes that engines are built for: a range for each named dimension of the graphs' inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from carve_models.errors import SettingsError
from carve_models.graph_spec import Range, Tensor
from carve_models.manifest import Manifest
from carve_models.names import BATCH, PAST, SEQUENCE, TOTAL, VISION_ENCODER
from carve_runtime.memory import TEXT_POSITIONS


def default_ranges(manifest: Manifest) -> dict[str, Range]:
    """Return ranges that let a bundle's own settings run: one image at a time, the pair, no batch.

    The past may be empty. The largest image and the context's length are the limits.
    """
    image, decoder = manifest.image, manifest.decoder
    most = image.most_tokens
    longest = min(decoder.context_length, 2 * most + TEXT_POSITIONS)
    chunk = min(longest, most + TEXT_POSITIONS)
    typical = min(most, chunk)
    ranges: dict[str, Range] = {
        BATCH: (1, 1, 1),
        SEQUENCE: (1, typical, chunk),
        PAST: (0, min(most, longest - 1), longest - 1),
    }
    for name, (fewest, typical, largest) in image.encoder_ranges().items():
        if name == BATCH:
            # At least two: TensorRT-RTX 1.7 cannot compile Idefics3's encoder for a fixed batch.
            ranges[f"{VISION_ENCODER}.{BATCH}"] = (fewest, typical, max(2, largest))
        else:
            ranges[name] = (fewest, typical, largest)
    return ranges


def override(ranges: dict[str, Range], texts: tuple[str, ...]) -> dict[str, Range]:
    """Return ranges with some replaced.

    Args:
        ranges: the defaults.
        texts: each as ``name=smallest:usual:largest``.

    Raises:
        SettingsError: an unknown name, or sizes that are not whole numbers in ascending order.
    """
    changed = dict(ranges)
    for text in texts:
        name, _, sizes = text.partition("=")
        if name not in ranges:
            raise SettingsError(
                f"no input has a dimension {name!r}", f"choose from {', '.join(ranges)}"
            )
        parts = sizes.split(":")
        if len(parts) != 3 or not all(part.isdecimal() for part in parts):
            raise SettingsError(f"the range {text!r} is not three sizes", "give SMALL:USUAL:LARGE")
        low, typical, high = map(int, parts)
        if not low <= typical <= high or (low == 0 and name != PAST):
            raise SettingsError(
                f"the range {text!r} is not in order", "only the past may begin at 0"
            )
        changed[name] = (low, typical, high)
    return changed


def ranges_for(
    graph: str, inputs: Sequence[Tensor], ranges: Mapping[str, Range]
) -> dict[str, Range]:
    """Return the ranges of the dimensions that a graph's inputs name.

    A range of ``graph.name`` is preferred to one of ``name``; the total is the sum of its parts.
    """
    low, typical, high = (a + b for a, b in zip(ranges[SEQUENCE], ranges[PAST], strict=True))
    known = {**ranges, TOTAL: (low, typical, high)}
    named = [size for tensor in inputs for size in tensor.shape if isinstance(size, str)]
    return {name: known.get(f"{graph}.{name}", known[name]) for name in dict.fromkeys(named)}
