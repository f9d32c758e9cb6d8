"""Run PyTorch in float64, whatever type a model and its code name: what rounding is measured by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

#: What becomes float64.
_ROUNDED = {torch.float32, torch.float16, torch.bfloat16}


class _Widening(TorchFunctionMode):
    """Give every function of PyTorch float64 tensors, and float64 where it is told another type.

    Models narrow on purpose: norms, softmax and rotary angles name float32 in their code.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        # Reading an attribute, such as a weight's type, copies nothing.
        if func.__name__ != "__get__":
            args, kwargs = tree_map(_widen, (args, kwargs or {}))
        return func(*args, **kwargs or {})


def _widen(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.double() if value.dtype in _ROUNDED else value
    return torch.float64 if isinstance(value, torch.dtype) and value in _ROUNDED else value


@contextmanager
def computing_in_float64() -> Iterator[None]:
    """Let a block run models in float64: weights keep their type, each is widened when it is used.

    No second copy of a model is made. A function that changes a narrower tensor in place changes a
    copy of it; what is made in the block is float64 from the start.
    """
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Widening():
            yield
    finally:
        torch.set_default_dtype(usual)
