"""Hold a model's large weights in half precision while it computes in float32.

PyTorch widens a weight when a layer uses it, and so does the exported graph (a ``Cast`` behind the
stored weight): both compute the same, and neither holds the model in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization, remove_parametrizations

#: PyTorch's name of each dtype.
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class _Widened(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.float()


def compute_in_float32(model: Any, embed_tokens: nn.Module) -> Callable[[], None]:
    """Make a half-precision model compute in float32, keeping its matrices as they are.

    Args:
        model: a model whose parameters are float16 or bfloat16.
        embed_tokens: its token embedding, whose table stays as it is too.

    Returns:
        what makes the model compute in its own type again.
    """
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    kept = {id(module.weight) for module in (*linear, embed_tokens)}
    narrow = [
        (tensor, tensor.data)
        for tensor in (*model.parameters(), *model.buffers())
        if tensor.is_floating_point() and id(tensor) not in kept
    ]
    for tensor, data in narrow:
        tensor.data = data.float()
    for module in linear:
        register_parametrization(module, "weight", _Widened(), unsafe=True)
    hook = embed_tokens.register_forward_hook(lambda _, __, embeds: embeds.float())

    def undo() -> None:
        hook.remove()
        for module in linear:
            remove_parametrizations(module, "weight", leave_parametrized=False)
        for tensor, data in narrow:
            tensor.data = data

    return undo


@contextmanager
def computing_in_float32(model: Any, embed_tokens: nn.Module) -> Iterator[None]:
    """Let a block run a half-precision model in float32; see :func:`compute_in_float32`."""
    undo = compute_in_float32(model, embed_tokens)
    try:
        yield
    finally:
        undo()
