"""Muon orthogonalises and descends."""

from __future__ import annotations

import pytest
import torch

from tools.research.pocket.training.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(4, 8, 8), (2, 16, 4), (2, 4, 16)])
def test_singular_values_come_close_to_one(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)))
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_a_quadratic_is_minimised() -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(8, 8))
    optimizer = Muon([{"params": [weight]}], lr=0.05, weight_decay=0.0)
    for _ in range(200):
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1.0
