"""One operator of ONNX Runtime in place of the many that a norm or a rotary embedding consists of.

On a GPU it is the number of operators that costs: each is a launch. They compute as the modules do,
sums of squares and roots in float32. :mod:`carve_export.trace.rewrite` puts together what only the
finished trace shows.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

#: What transformers calls the function that rotates queries and keys, in each model's module.
_ROTARY = "apply_rotary_pos_emb"

#: Of a result, relative: the model computes what the operator does.
_SAME = 1e-5
#: Heads, positions and width of states that a rotary function is tried on.
_EXAMPLE = 2, 3, 8


def rms_norm(weight: Tensor, epsilon: float, states: Tensor) -> Tensor:
    """Return ``states / rms(states) * weight``, of the states' shape and dtype."""
    return torch.onnx.ops.symbolic(
        "SimplifiedLayerNormalization",
        (states, weight),
        attrs={"axis": -1, "epsilon": epsilon, "stash_type": 1},
        dtype=states.dtype,
        shape=states.shape,
        version=1,
    )


class Rotary:
    """Rotates queries and keys by the model's own angles, whatever its rule for positions is.

    ``RotaryEmbedding`` looks angles up by position in a table. Here the table has a row for each
    position of this call, so that M-RoPE, interleaved or not, needs no operator of its own.
    """

    def __init__(self) -> None:
        self._tables: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        self._angles: list[Tensor] = []  # kept: their identity is the key

    def __call__(
        self, query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Return query and key, (B, heads, S, D), rotated; ``cos`` and ``sin`` are (B, S, D)."""
        assert unsqueeze_dim == 1
        tables = self._tables_of(cos, sin)
        return _rotate(query, *tables), _rotate(key, *tables)

    def _tables_of(self, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return row numbers, (B, S), and two tables, (B * S, D / 2); once for all layers."""
        if id(cos) not in self._tables:
            batch, length, width = cos.shape
            rows = torch.arange(batch * length).view(batch, length)
            halves = (angles[..., : width // 2].reshape(-1, width // 2) for angles in (cos, sin))
            self._tables[id(cos)] = rows, *halves
            self._angles.append(cos)
        return self._tables[id(cos)]


def _rotate(states: Tensor, *tables: Tensor) -> Tensor:
    """Return the states, (B, heads, S, D), rotated in the order that products leave them in."""
    batch, heads, length, width = states.shape
    flat = states.transpose(1, 2).reshape(batch, length, heads * width)
    rotated = torch.onnx.ops.symbolic(
        "com.microsoft::RotaryEmbedding",
        (flat, *tables),
        dtype=flat.dtype,
        shape=flat.shape,
        version=1,
    )
    return rotated.view(batch, length, heads, width).transpose(1, 2)


class Fusion:
    """What of a text model is traced as one operator; calling it gives a context that does so."""

    def __init__(self, text_model: nn.Module) -> None:
        """Find norms and rotary functions; this runs each norm once."""
        modules = list(text_model.modules())
        self._norms: list[Any] = [module for module in modules if _is_rms_norm(module)]
        names = {type(module).__module__ for module in modules}
        self._rotating = [
            sys.modules[name]
            for name in names
            if _rotates_halves(getattr(sys.modules[name], _ROTARY, None))
        ]

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Replace them while a block runs."""
        with ExitStack() as stack:
            for norm in self._norms:
                forward = partial(rms_norm, norm.weight, norm.variance_epsilon)
                stack.enter_context(patch.object(norm, "forward", forward))
            rotary = Rotary()
            for module in self._rotating:
                stack.enter_context(patch.object(module, _ROTARY, rotary))
            yield


def _rotates_halves(function: Any) -> bool:
    """Return whether a function computes what :class:`Rotary` does; others stay as they are."""
    if function is None:
        return False
    heads, length, width = _EXAMPLE
    query = torch.linspace(-2, 3, heads * length * width).view(1, heads, length, width)
    key = query.flip(-1)
    angles = torch.linspace(0, 3, length * width // 2).view(1, length, -1).repeat(1, 1, 2)
    cos, sin = angles.cos(), angles.sin()
    try:
        actual = function(query, key, cos, sin)
    except TypeError:  # it wants other arguments
        return False
    for states, rotated in zip((query, key), actual, strict=True):
        first, second = states.chunk(2, dim=-1)
        expected = states * cos[:, None] + torch.cat((-second, first), dim=-1) * sin[:, None]
        if rotated.shape != expected.shape or not torch.allclose(rotated, expected, atol=_SAME):
            return False
    return True


def _is_rms_norm(module: Any) -> bool:
    """Return whether a module computes what :func:`rms_norm` says; others stay as they are."""
    weight, epsilon = getattr(module, "weight", None), getattr(module, "variance_epsilon", None)
    if weight is None or epsilon is None or getattr(module, "bias", None) is not None:
        return False
    states = torch.linspace(-2, 3, weight.numel(), dtype=weight.dtype)[None]
    wide, scale = states.float(), weight.detach().float()
    expected = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon) * scale
    with torch.no_grad():
        actual = module(states).float()
    rounding = torch.finfo(weight.dtype).eps
    tolerance = max(_SAME, 4 * rounding) * float(expected.abs().max())
    return bool((actual - expected).abs().max() <= tolerance)
