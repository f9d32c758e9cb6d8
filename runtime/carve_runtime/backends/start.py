"""Run a tiny graph with an execution provider of ONNX Runtime: ``python -m`` this, and its name.

In a process of its own, since a provider's library may end the process that loads it.
"""

from __future__ import annotations

import sys

import numpy as np

from carve_models.errors import CarveError, ProviderError, RunError, first_line
from carve_models.settings import require_choice
from carve_runtime.backends.ort import import_onnxruntime
from carve_runtime.backends.ort_providers import choose_provider, require_started
from carve_runtime.backends.protocol import BackendSettings, ProviderName
from carve_runtime.backends.providers import PROVIDERS

_ONES = np.ones((1, 1, 2, 2), np.float32)
_REMEDY = "check the provider's own libraries, and the device's driver"
_RESULT = 8.0  # a product of four twos, convolved with four ones


def start(name: ProviderName) -> None:
    """Multiply and convolve in a provider: what takes cuBLAS and cuDNN on a GPU of NVIDIA's.

    Raises:
        DependencyError: ONNX Runtime is not installed, or damaged.
        ProviderError: the provider is not there, or does not start.
        RunError: it computes something else.
    """
    require_choice("provider", name, ProviderName)
    ort, provider, settings = import_onnxruntime(), PROVIDERS[name], BackendSettings(provider=name)
    options = ort.SessionOptions()
    providers = choose_provider(ort, options, provider, settings)
    try:
        session = ort.InferenceSession(
            tiny_model(), options, providers=providers, enable_fallback=0
        )
        require_started(provider, session, _REMEDY)
        (found,) = session.run(None, {"x": _ONES})
    except CarveError:
        raise
    except Exception as error:  # ONNX Runtime's own classes derive from Exception only
        raise ProviderError(first_line(error), _REMEDY) from error
    if found.item() != _RESULT:
        raise RunError(
            f"it computed {found.item()}, and {_RESULT} is right",
            "install the device's newest driver, or choose another provider",
        )


def tiny_model() -> bytes:
    """Return a model in ONNX's format: ``y = Conv(MatMul(x, x), x)`` of (1, 1, 2, 2) float32."""
    graph = (
        _field(1, _node("MatMul", ["x", "x"], "product"))
        + _field(1, _node("Conv", ["product", "x"], "y"))
        + _field(2, b"tiny")
        + _field(11, _tensor("x", _ONES.shape))
        + _field(12, _tensor("y", (1, 1, 1, 1)))
    )
    opset = _field(2, 17)
    return _field(1, 8) + _field(7, graph) + _field(8, opset)  # 8: the format's version


def _node(operator: str, inputs: list[str], output: str) -> bytes:
    names = b"".join(_field(1, name.encode()) for name in inputs)
    return names + _field(2, output.encode()) + _field(4, operator.encode())


def _tensor(name: str, shape: tuple[int, ...]) -> bytes:
    sizes = b"".join(_field(1, _field(1, size)) for size in shape)
    float32 = _field(1, 1)
    return _field(1, name.encode()) + _field(2, _field(1, float32 + _field(2, sizes)))


def _field(number: int, value: int | bytes) -> bytes:
    """Return a field of a Protocol Buffers message: a whole number, or bytes of any kind."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    groups = []
    while value >= 1 << 7:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def main() -> None:
    """Start the provider that the command line names; end with the cause and remedy if it fails."""
    try:
        start(sys.argv[1])  # type: ignore[arg-type]
    except CarveError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
