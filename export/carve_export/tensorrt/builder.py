"""TensorRT's two builders behind one interface.

``tensorrt`` builds on the device that will run the engine, for that device. ``tensorrt_rtx`` builds
anywhere, without a GPU, for named compute capabilities. Their Python modules are nearly the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from carve_models.engines import Target
from carve_models.errors import EngineError, SettingsError
from carve_models.graph_spec import Range, Tensor
from carve_models.replacing import replacing
from carve_runtime.backends.tensorrt.cuda import compute_capability
from carve_runtime.backends.tensorrt.runner import import_tensorrt

#: Called with the name of a phase, how many of its steps are done, and how many it has.
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """How to build engines, whichever the graph.

    Attributes:
        compute_capabilities: of the GPUs to build for, such as "8.9"; with ``tensorrt_rtx`` only.
        stripped: leave the weights out.
        timing_cache: file that remembers which kernels were fastest; with ``tensorrt`` only.
    """

    compute_capabilities: tuple[str, ...] = ()
    stripped: bool = False
    timing_cache: Path | None = None


@dataclass
class Built:
    """An engine's bytes and its interface."""

    data: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass
class _Messages:
    """The errors that TensorRT logged."""

    errors: list[str] = field(default_factory=list)


class Builder:
    """One of the two builders."""

    def __init__(self, target: Target, options: BuildOptions) -> None:
        """Import the builder's module and check the options against it.

        Raises:
            DependencyError: it is not installed.
            SettingsError: options that it does not support.
        """
        self.target, self.options = target, options
        self._trt = import_tensorrt(target)
        self._require_options()

    @property
    def version(self) -> str:
        """The builder's version."""
        return str(self._trt.__version__)

    @property
    def compute_capabilities(self) -> tuple[str, ...]:
        """The compute capabilities of the GPUs that the engines will run on."""
        return self.options.compute_capabilities or (compute_capability(),)

    def build(
        self,
        path: Path,
        inputs: Sequence[Tensor],
        ranges: Mapping[str, Range],
        on_progress: OnProgress = lambda phase, done, steps: None,
    ) -> Built:
        """Build one engine.

        Args:
            path: an ONNX file.
            inputs: the graph's inputs, dimensions named as in ``ranges``.
            ranges: smallest, usual and largest size of each dimension.
            on_progress: called with TensorRT's phases.

        Raises:
            EngineError: TensorRT refuses an operator or a size.
        """
        trt, messages = self._trt, _Messages()
        builder = trt.Builder(_logger(trt, messages))
        typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = builder.create_network(typed)
        parser = trt.OnnxParser(network, builder.logger)
        if not parser.parse_from_file(str(path)):
            errors = [parser.get_error(index) for index in range(parser.num_errors)]
            raise self._refused(path, [_spell(error) for error in errors])
        profile = builder.create_optimization_profile()
        for tensor in inputs:
            if any(isinstance(size, str) for size in tensor.shape):
                profile.set_shape(tensor.name, *shapes(tensor, ranges))
        config = builder.create_builder_config()
        if config.add_optimization_profile(profile) < 0:
            raise self._refused(path, messages.errors)
        config.progress_monitor = _monitor(trt, on_progress)
        self._configure(config)
        data = builder.build_serialized_network(network, config)
        if data is None:
            raise self._refused(path, messages.errors)
        self._keep_timing_cache(config)
        return Built(
            data,
            inputs=tuple(self._tensor(network.get_input(i)) for i in range(network.num_inputs)),
            outputs=tuple(self._tensor(network.get_output(i)) for i in range(network.num_outputs)),
        )

    def _require_options(self) -> None:
        capabilities, is_rtx = self.options.compute_capabilities, self.target == "tensorrt_rtx"
        if is_rtx and self.options.timing_cache is not None:
            raise SettingsError(
                "tensorrt_rtx has no timing cache: it chooses kernels on the device",
                "leave the timing cache out",
            )
        if is_rtx != bool(capabilities):
            given = ", ".join(capabilities) or "not given"
            raise SettingsError(
                f"the compute capabilities for {self.target} are {given}",
                "give --compute-capability for tensorrt_rtx, which builds for other machines; "
                "tensorrt builds for the GPU that is here",
            )
        for capability in capabilities:
            self._capability(capability)

    def _capability(self, name: str) -> Any:
        known = self._trt.ComputeCapability.__members__
        member = f"SM{name.replace('.', '')}"
        if member not in known:
            numbers = [key[2:] for key in known if key.startswith("SM")]
            spelled = ", ".join(f"{number[:-1]}.{number[-1]}" for number in numbers)
            raise SettingsError(
                f"{self.target} {self.version} does not build for compute capability {name}",
                f"choose from {spelled}",
            )
        return known[member]

    def _configure(self, config: Any) -> None:
        capabilities = self.options.compute_capabilities
        if capabilities:
            config.num_compute_capabilities = len(capabilities)
            for index, name in enumerate(capabilities):
                config.set_compute_capability(self._capability(name), index)
        if self.options.stripped:
            config.set_flag(self._trt.BuilderFlag.STRIP_PLAN)
        cache = self.options.timing_cache
        if cache is not None:
            known = cache.read_bytes() if cache.is_file() else b""
            config.set_timing_cache(config.create_timing_cache(known), ignore_mismatch=False)

    def _keep_timing_cache(self, config: Any) -> None:
        cache = self.options.timing_cache
        if cache is not None:
            with replacing(cache) as aside:
                aside.write_bytes(config.get_timing_cache().serialize())

    def _refused(self, path: Path, reasons: Sequence[str]) -> EngineError:
        listed = "; ".join(dict.fromkeys(reasons)) or "no reason given"
        return EngineError(
            f"{self.target} {self.version} refuses {path.name}: {listed}",
            "narrow the --range of a size that is named, or report the operators",
        )

    def _tensor(self, tensor: Any) -> Tensor:
        known = tensor.dtype != self._trt.bfloat16  # numpy has no name for it
        dtype = self._trt.nptype(tensor.dtype).__name__ if known else "bfloat16"
        shape = tuple(int(size) if size >= 0 else "?" for size in tensor.shape)
        return Tensor(name=tensor.name, dtype=dtype, shape=shape)


def shapes(tensor: Tensor, ranges: Mapping[str, Range]) -> tuple[tuple[int, ...], ...]:
    """Return an input's smallest, usual and largest shape."""
    sizes = [(size,) * 3 if isinstance(size, int) else ranges[size] for size in tensor.shape]
    return tuple(zip(*sizes, strict=True))


def _spell(error: Any) -> str:
    """Return the operator that the parser refuses, its node, and the reason."""
    return f"{error.node_operator()} ({error.node_name()}): {error.desc()}"


def _logger(trt: ModuleType, messages: _Messages) -> Any:
    class Logger(trt.ILogger):  # type: ignore[name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                messages.errors.append(message.splitlines()[0])

    return Logger()


def _monitor(trt: ModuleType, on_progress: OnProgress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[name-defined]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self._steps[phase] = steps
            on_progress(phase, 0, steps)

        def phase_finish(self, phase: str) -> None:
            steps = self._steps.pop(phase)
            on_progress(phase, steps, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            on_progress(phase, step + 1, self._steps[phase])
            return True

    return Monitor()
