"""A model in float64, whatever types it is held in and its code names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from carve_export.check.exact import computing_in_float64
from tests.comparing import assert_close

Array = NDArray[Any]


class Narrowing(nn.Module):
    """Names float32 in each of the ways that models do."""

    def __init__(self) -> None:
        super().__init__()
        self.convolve = nn.Conv2d(3, 8, 2, stride=2)
        self.project = nn.Linear(8, 8)

    def forward(self, image: Tensor) -> Tensor:
        states = self.convolve(image.to(self.project.weight.dtype)).flatten(2).transpose(1, 2)
        angles = torch.arange(states.shape[1], dtype=torch.float32)[:, None].float() / 7
        states = states.to(torch.float32) * angles.cos().type(torch.float32)
        scores = torch.softmax(self.project(states), dim=-1, dtype=torch.float32)
        result = torch.zeros(scores.shape)
        result[:, 1:] = scores[:, 1:]
        return result.to(image.dtype)


@pytest.fixture
def model() -> Narrowing:
    torch.manual_seed(0)
    model = Narrowing()
    model.eval()
    return model


def in_numpy(model: Narrowing, image: Array) -> Array:
    """Compute the same by hand, in float64."""
    weights = {name: value.numpy().astype(float) for name, value in model.state_dict().items()}
    height, width = (size // 2 for size in image.shape[2:])
    blocks = image.astype(float).reshape(3, height, 2, width, 2).transpose(1, 3, 0, 2, 4)
    kernel = weights["convolve.weight"].reshape(8, -1)
    states = blocks.reshape(height * width, -1) @ kernel.T + weights["convolve.bias"]
    states = states * np.cos(np.arange(height * width)[:, None] / 7)
    logits = states @ weights["project.weight"].T + weights["project.bias"]
    result: Array = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    result[0] = 0
    return np.asarray(result[None])


def test_code_that_names_float32_computes_in_float64(model: Narrowing) -> None:
    image = torch.randn(1, 3, 8, 8)
    with torch.no_grad(), computing_in_float64():
        exact = model(image)
    assert exact.dtype == torch.float64
    assert_close(exact.numpy(), in_numpy(model, image.numpy()), rtol=1e-13)
    with torch.no_grad():
        rounded = model(image)
    assert 1e-8 < float((rounded - exact).abs().max()) < 1e-6


def test_half_precision_is_exact_too(model: Narrowing) -> None:
    half, image = model.half(), torch.randn(1, 3, 8, 8).half()
    with torch.no_grad(), computing_in_float64():
        exact = half(image)
    assert_close(exact.numpy(), in_numpy(half, image.numpy()), rtol=1e-13)


def test_the_model_stays_as_it_is(model: Narrowing) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(RuntimeError), computing_in_float64():
        model(torch.zeros(1, 5, 8, 8))
    assert torch.get_default_dtype() == torch.float32
    after = model.state_dict()
    assert all(after[name].dtype == torch.float32 for name in before)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert model(torch.zeros(1, 3, 8, 8)).dtype == torch.float32
