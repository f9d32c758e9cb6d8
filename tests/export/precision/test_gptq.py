"""Rounding with regard to what a product sees, on real weights and inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from carve_export.precision.calibration import read_entries, record
from carve_export.precision.gptq import order_rows, round_weight
from carve_export.precision.int4 import input_products
from carve_export.precision.nbits import matrix_products
from carve_export.precision.stepwise import tensors
from carve_models import names
from carve_runtime.bundle import open_bundle
from tests.comparing import assert_close
from tests.support import POCKET, SCENES

BLOCK = 32
#: Largest squared error, relative to that of rounding to nearest; measured: at most 0.124.
LARGEST_SHARE = 0.15


@pytest.fixture(scope="module")
def weights_and_inputs() -> list[tuple[NDArray[Any], NDArray[np.float32]]]:
    """Return the weights of pocket's vision encoder, and the products of what each is fed with."""
    entries = read_entries(SCENES / "questions.json")[:6]
    feeds = record(open_bundle(POCKET), entries, SCENES)[names.VISION_ENCODER]
    model = onnx.load(POCKET / names.graph_file(names.VISION_ENCODER))
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    chosen = matrix_products(model)
    inputs = list(dict.fromkeys(product.input for product in chosen))
    seen = tensors(model, POCKET, inputs, feeds)
    sums = {name: input_products(arrays) for name, arrays in seen}
    return [(weights[product.weight], sums[product.input]) for product in chosen]


def squared_error(weight: NDArray[Any], rounded: NDArray[Any], sums: NDArray[np.float32]) -> float:
    change = rounded.astype(np.float64) - weight
    return float(np.trace(change.T @ sums.astype(np.float64) @ change))


def test_products_change_less_than_with_the_nearest_numbers(
    weights_and_inputs: list[tuple[NDArray[Any], NDArray[np.float32]]],
) -> None:
    for weight, sums in weights_and_inputs:
        alike = order_rows(np.eye(len(weight), dtype=np.float32))  # inputs that are not correlated
        nearest = round_weight(weight, alike, 4, BLOCK).values()
        gptq = round_weight(weight, order_rows(sums), 4, BLOCK).values()
        assert squared_error(weight, gptq, sums) < LARGEST_SHARE * squared_error(
            weight, nearest, sums
        )


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("rows", [64, 40, 300])
def test_unrelated_inputs_give_the_nearest_numbers(bits: int, rows: int) -> None:
    weight = np.random.default_rng(rows).normal(size=(rows, 5)).astype(np.float32)
    rounded = round_weight(weight, order_rows(np.eye(rows, dtype=np.float32)), bits, BLOCK)
    assert rounded.codes.max() == 2**bits - 1
    assert rounded.values().shape == weight.shape
    steps = np.repeat(rounded.scales, BLOCK, axis=0)[:rows]
    # The zero point is a whole number too: at the ends of a block's range, one step is off.
    assert (np.abs(rounded.values() - weight) <= steps).all()
    inner = np.repeat(rounded.codes.min(axis=1) > 0, BLOCK, axis=0)[:rows]
    assert (np.abs(rounded.values() - weight) <= 0.51 * steps)[inner].all()


def test_rows_that_see_nothing() -> None:
    weight = np.random.default_rng(0).normal(size=(BLOCK, 4)).astype(np.float32)
    for sums in (np.zeros((BLOCK, BLOCK)), np.diag([1.0, *[0.0] * (BLOCK - 1)])):
        order = order_rows(sums.astype(np.float32))
        values = round_weight(weight, order, 8, BLOCK).values()
        assert_close(values, weight, atol=0.05)


def test_what_can_be_written_stays() -> None:
    codes = np.random.default_rng(0).integers(0, 16, (2 * BLOCK, 6))
    codes[::BLOCK], codes[1::BLOCK] = 0, 15
    weight = (codes.astype(np.float32) - 7) * 0.25
    sums = np.cov(np.random.default_rng(1).normal(size=(2 * BLOCK, 500))).astype(np.float32)
    assert_close(round_weight(weight, order_rows(sums), 4, BLOCK).values(), weight)
