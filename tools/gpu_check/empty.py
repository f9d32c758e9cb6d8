"""Models of any size whose parameters take no memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import transformers
from torch import nn


@contextmanager
def without_parameters(dtype: torch.dtype) -> Iterator[None]:
    """Let a block build modules whose parameters are on the device "meta"; buffers are real."""
    register = nn.Module.register_parameter

    def register_empty(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        register(module, name, parameter)
        if parameter is not None:
            empty = torch.empty(parameter.shape, dtype=dtype, device="meta")
            module._parameters[name] = nn.Parameter(empty, requires_grad=False)

    with patch.object(nn.Module, "register_parameter", register_empty):
        yield


def empty_model(folder: Path, dtype: torch.dtype, attention: str) -> Any:
    """Return the model of a folder's configuration, its parameters on the device "meta".

    Args:
        folder: with ``config.json`` and ``generation_config.json``.
        dtype: of the parameters.
        attention: transformers' name of its implementation.
    """
    config = transformers.AutoConfig.from_pretrained(folder)
    config._attn_implementation = attention
    with without_parameters(dtype):
        model = getattr(transformers, config.architectures[0])(config)
    model.tie_weights()
    model.generation_config = transformers.GenerationConfig.from_pretrained(folder)
    return model.eval()


def set_parameter(model: nn.Module, name: str, value: torch.Tensor) -> None:
    """Put a tensor in the place of a parameter; what is tied to it follows with ``tie_weights``."""
    path, _, leaf = name.rpartition(".")
    model.get_submodule(path)._parameters[leaf] = nn.Parameter(value, requires_grad=False)
