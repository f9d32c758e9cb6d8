"""Run a decoder as it was and as it is tapped, and compare.

ONNX Runtime rewrites neither graph here, so that both run the same operators: results in float32
are equal to the bit, or the tap changed something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from carve_export.tap.attention import Attention
from carve_models import names
from carve_models.errors import ExportError, ParityError, first_line

#: Positions of a prompt, then of a step over its cache.
_LENGTHS = 7, 1
_SEED = 0
_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
#: ONNX Runtime's severity: nothing but what it raises is told.
LOGS_NOTHING = 4
#: How far rows may be from the operators' own attention, and results in half precision from one
#: another, as a share of the largest.
_ALLOWED, _ALLOWED_HALF = 1e-5, 5e-3
_PAST, _PRESENT = "past_key_values", "present"
_MOST_TOKENS = 8  # that every vocabulary has

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class TapCheck:
    """What the comparison found."""

    #: Whether logits and cache are equal to the bit, or within what half precision rounds.
    results: str
    #: Largest difference between a row's sum and 1.
    sum_error: float
    #: Largest difference between rows and the operators' own attention; ``None`` if they return
    #: none.
    row_error: float | None


def check_tap(
    decoder: Path, model: ir.Model, tapped: onnx.ModelProto, attentions: Sequence[Attention]
) -> TapCheck:
    """Run a prompt and a step over its cache through both graphs.

    Args:
        decoder: the file as it was.
        model: the tapped graph; its operators are changed to return their attention.
        tapped: the same, as it will be written.
        attentions: of the tapped layers.

    Raises:
        ExportError: the graph cannot be run here.
        ParityError: the graphs differ, or the rows are no attention.
    """
    results = "within rounding" if _is_half(attentions) else "equal to the bit"
    before = _run(decoder.read_bytes(), decoder.parent, attentions)
    after = _run(tapped.SerializeToString(), decoder.parent, attentions)
    for expected, actual in zip(before, after, strict=True):
        for name, array in expected.items():
            if not _same(array, actual[name], attentions):
                raise ParityError(
                    f"the tapped graph returns other {name}", "report the model and its exporter"
                )
    rows = [step[names.LAST_ROW] for step in after]
    sum_error = max(float(np.abs(row.sum(axis=-1) - 1).max()) for row in rows)
    _require(sum_error, "the rows do not sum to 1", attentions)
    own = _own_rows(model, decoder.parent, attentions)
    if own is None:
        return TapCheck(results, sum_error, None)
    pairs = zip(rows, own, strict=True)
    error = max(float(np.abs(row - other).max(initial=0)) for row, other in pairs)
    _require(error, "the rows are not what the operators attend to", attentions)
    return TapCheck(results, sum_error, error)


def _is_half(attentions: Sequence[Attention]) -> bool:
    dtype = attentions[0].past.dtype
    assert dtype is not None
    return bool(dtype.itemsize < ir.DataType.FLOAT.itemsize)


def _same(before: NDArray[Any], after: NDArray[Any], attentions: Sequence[Attention]) -> bool:
    if not _is_half(attentions):
        return bool(np.array_equal(before, after, equal_nan=True))
    # Processors without half precision compute parts of the graph in float32: which parts depends
    # on where results are used.
    wide, other = before.astype(np.float64), after.astype(np.float64)
    most = float(np.abs(wide).max(initial=0))
    return bool(np.allclose(wide, other, rtol=0, atol=_ALLOWED_HALF * most, equal_nan=True))


def _require(error: float, cause: str, attentions: Sequence[Attention]) -> None:
    if not error <= (_ALLOWED_HALF if _is_half(attentions) else _ALLOWED):  # NaN is refused too
        raise ParityError(f"{cause}: they are {error:.1e} away", "report the model's exporter")


def _own_rows(
    model: ir.Model, folder: Path, attentions: Sequence[Attention]
) -> list[NDArray[Any]] | None:
    """Return what the operators say of their attention, each (B, layers, T); or ``None``."""
    probes = [probe for each in attentions if (probe := each.probe()) is not None]
    if len(probes) < len(attentions):
        return None
    for index, probe in enumerate(probes):
        probe.name = probe.name or f"{names.LAST_ROW}.own.{index}"
        probe.dtype = probe.dtype or attentions[index].past.dtype
        if not probe.is_graph_output():
            model.graph.outputs.append(probe)
    listed = [str(probe.name) for probe in probes]
    steps = _run(ir.to_proto(model).SerializeToString(), folder, attentions)
    return [
        np.stack([step[name][:, :, -1].astype(np.float32).mean(axis=1) for name in listed], axis=1)
        for step in steps
    ]


def _run(graph: bytes, folder: Path, attentions: Sequence[Attention]) -> list[Arrays]:
    """Return the results of a prompt, and of a step over its cache."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = LOGS_NOTHING
    options.enable_mem_reuse = False  # the shapes that exporters write are not always true
    options.add_session_config_entry(_WEIGHTS_FOLDER, str(folder.resolve()))
    random = np.random.default_rng(_SEED)
    heads = {each.head_dim for each in attentions if each.head_dim is not None}
    results: list[Arrays] = []
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        outputs = [output.name for output in session.get_outputs()]
        vocabulary = next(x.shape[-1] for x in session.get_outputs() if x.name == names.LOGITS)
        feeder = _Feeder(random, min(heads, default=None), vocabulary)
        past, cache = 0, Arrays()
        for length in _LENGTHS:
            inputs = {
                entry.name: feeder.array(entry, length, past, cache)
                for entry in session.get_inputs()
            }
            results.append(dict(zip(outputs, session.run(None, inputs), strict=True)))
            past, cache = past + length, results[-1]
    except ExportError:
        raise
    except Exception as error:  # ONNX Runtime's own classes have no common base
        raise ExportError(
            f"ONNX Runtime cannot run the graph on this CPU: {first_line(error)}",
            "check that its files are whole; --unchecked writes it without running it",
        ) from error
    return results


@dataclass(frozen=True)
class _Feeder:
    """Makes inputs of one sequence."""

    random: np.random.Generator
    head_dim: int | None
    vocabulary: int | str | None

    def array(
        self, entry: Any, length: int, past: int, cache: Mapping[str, NDArray[Any]]
    ) -> NDArray[Any]:
        """Return what an input of a session takes.

        Args:
            entry: name, type and shape.
            length: new positions.
            past: positions before them.
            cache: results of the step before.
        """
        name, shape = entry.name, entry.shape
        if name == names.INPUT_IDS:
            most = self.vocabulary if isinstance(self.vocabulary, int) else _MOST_TOKENS
            return np.asarray(self.random.integers(0, most, (1, length)), numpy_type(entry))
        if name == names.ATTENTION_MASK:
            return np.ones((1, past + length), numpy_type(entry))
        if name == names.POSITION_IDS:
            positions = np.arange(past, past + length, dtype=numpy_type(entry))
            return np.tile(positions, (*shape[:-2], 1, 1))
        if name == names.INPUTS_EMBEDS:
            values = self.random.standard_normal((1, length, shape[-1]))
            return np.asarray(values, numpy_type(entry))
        if name.startswith(_PAST):
            present = name.replace(_PAST, _PRESENT)
            if present in cache:
                return cache[present]
            width = shape[3] if isinstance(shape[3], int) else self.head_dim or 0
            return np.zeros((1, shape[1], 0, width), numpy_type(entry))
        if not shape and "int" in entry.type:  # how many logits are wanted
            return np.ones((), numpy_type(entry))
        raise ExportError(
            f"what the input {name} takes is not known here",
            "--unchecked writes the graph without running it",
        )


def numpy_type(entry: Any) -> np.dtype[Any]:
    """Return the numpy type of an input of a session."""
    word: str = entry.type.removeprefix("tensor(").removesuffix(")")
    return np.dtype({"float": "float32", "double": "float64"}.get(word, word))
