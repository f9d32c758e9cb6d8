"""Hold a model's large weights in half precision while it computes in float32.

PyTorch widens a weight when a layer uses it, and so does the exported graph (a ``Cast`` behind the
stored weight): both compute the same, and neither holds the model in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

#: PyTorch's name of each dtype.
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class _Widened(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.float()


def compute_in_float32(model: Any, embed_tokens: nn.Module) -> None:
    """Make a half-precision model compute in float32, keeping its matrices as they are.

    Args:
        model: a model whose parameters are float16 or bfloat16.
        embed_tokens: its token embedding, whose table stays as it is too.
    """
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    kept = {id(module.weight) for module in (*linear, embed_tokens)}
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point() and id(tensor) not in kept:
            tensor.data = tensor.data.float()
    for module in linear:
        register_parametrization(module, "weight", _Widened(), unsafe=True)
    embed_tokens.register_forward_hook(lambda _, __, embeds: embeds.float())
