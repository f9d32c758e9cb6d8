"""The Muon optimiser in float32.

``torch.optim.Muon`` orthogonalises in bfloat16, which CPUs without such units emulate at a tenth
of the speed; here matrices of one shape are orthogonalised together, in float32.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

#: Quintic Newton-Schulz iteration that pushes singular values towards one.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
#: Makes an update's root mean square match that of AdamW, so both take similar rates.
_RMS = 0.2


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; for matrices only."""

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.02,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def step(self, closure: None = None) -> None:
        """Update every parameter that has a gradient."""
        with torch.no_grad():
            for group in self.param_groups:
                self._step_group(group)

    def _step_group(self, group: dict[str, Any]) -> None:
        by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is not None:
                by_shape[parameter.shape].append(parameter)
        for shape, parameters in by_shape.items():
            updates = orthogonalize(torch.stack([self._move(p, group) for p in parameters]))
            rate = group["lr"] * _RMS * max(shape) ** 0.5
            for parameter, update in zip(parameters, updates, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-rate)

    def _move(self, parameter: nn.Parameter, group: dict[str, Any]) -> torch.Tensor:
        """Add the gradient to the momentum; return where Nesterov's rule steps."""
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum: torch.Tensor = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
        return torch.lerp(parameter.grad, momentum, group["momentum"])


def orthogonalize(matrices: torch.Tensor) -> torch.Tensor:
    """Return roughly the nearest semi-orthogonal matrices, (n, rows, columns) float32."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
