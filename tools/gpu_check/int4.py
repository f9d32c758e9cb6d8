"""The decoder of a bundle with matrices of random 4-bit numbers: what one would cost."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from carve_export.onnx_files import write_weight
from carve_export.precision.nbits import matrix_products, to_nbits
from carve_models.manifest import Manifest
from carve_models.names import graph_file
from carve_runtime.bundle import Bundle

_BITS = 4
_SEED = 0
#: Deviation of a code of 0 to 15 around its zero point of 8: that of uniform numbers.
_CODE_DEVIATION = 4.6
#: Zero points of 8, two in a byte.
_ZEROS = 0x88


def int4_decoder(folder: Path, manifest: Manifest, out: Path, deviation: float) -> Bundle:
    """Write a bundle's decoder graphs with ``MatMulNBits`` in place of every product.

    Args:
        folder: the bundle's; its files of weights are linked to, not copied.
        manifest: the bundle's.
        out: an empty folder on the same disk.
        deviation: of the matrices' numbers.

    Returns:
        a bundle of which nothing but the decoder can be run.
    """
    random = np.random.default_rng(_SEED)
    for part in manifest.decoder.parts:
        source = folder / graph_file(part.name)
        target = out / graph_file(part.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        model = onnx.load(source, load_external_data=False)
        chosen = matrix_products(model)
        to_nbits(model, dict.fromkeys(chosen, _BITS))
        names = {tensor.name for product in chosen for tensor in product.packed(_BITS).values()}
        for tensor in model.graph.initializer:
            if tensor.name in names:
                write_weight(tensor, _random_part(tensor, random, deviation), target.parent)
        target.write_bytes(model.SerializeToString())
        for weights in source.parent.glob("*_data"):
            if not (target.parent / weights.name).exists():
                _link(weights, target.parent / weights.name)
    return Bundle(out, manifest)


def _random_part(
    tensor: TensorProto, random: np.random.Generator, deviation: float
) -> np.ndarray[tuple[int], np.dtype[np.generic]]:
    """Return flat random values for one part of a packed matrix."""
    count = int(np.prod(tensor.dims))
    if tensor.data_type != TensorProto.UINT8:
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        return np.full(count, deviation / _CODE_DEVIATION, dtype)
    if tensor.name.endswith("zeros"):
        return np.full(count, _ZEROS, np.uint8)
    return np.frombuffer(random.bytes(count), np.uint8)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one that has no links
        shutil.copyfile(source, target)
