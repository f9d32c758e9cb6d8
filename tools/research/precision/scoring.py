"""How well a bundle's language model predicts a text: its own graphs, run by ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from carve_export.onnx_files import save_model
from carve_models import names
from carve_models.errors import ExportError
from carve_runtime.bundle import Bundle
from tools.shared.models.decoder_inputs import graph_inputs

_STATES, _HEAD = "states", "head"


@dataclass(frozen=True)
class Score:
    """What a model made of n tokens of a text.

    Attributes:
        losses: (n,) float64, nats of each token, given those before it in its window.
        best: (n,) int64, the token that the model held for the most probable.
    """

    losses: NDArray[np.float64]
    best: NDArray[np.int64]

    @property
    def perplexity(self) -> float:
        """The exponential of the mean loss."""
        return float(np.exp(self.losses.mean()))

    def agreement(self, baseline: Score) -> float:
        """Return the share of positions at which both hold the same token for the best."""
        return float((self.best == baseline.best).mean())


def score(bundle: Bundle, ids: NDArray[np.int64], window: int) -> Score:
    """Let a bundle's language model predict a text, window by window.

    Args:
        bundle: its decoder takes embeddings and positions alone.
        ids: (T,) the text; of each window all tokens but the first are predicted.
        window: tokens that it sees at a time, at least 2.

    Raises:
        ExportError: the decoder does not choose the last position.
    """
    predictor = Predictor(bundle)
    losses: list[float] = []
    best: list[int] = []
    for part in windows(ids, window):
        for logits, token in zip(predictor.logits(part[:-1]), part[1:], strict=True):
            top = int(logits.argmax())
            shifted = logits.astype(np.float64) - float(logits[top])
            losses.append(float(np.log(np.exp(shifted).sum()) - shifted[token]))
            best.append(top)
    return Score(np.array(losses), np.array(best))


def windows(ids: NDArray[np.int64], window: int) -> Iterator[NDArray[np.int64]]:
    """Yield parts of ``window`` tokens, the last one shorter; none is a single token."""
    for start in range(0, len(ids) - 1, window):
        yield ids[start : start + window]


class Predictor:
    """The decoder in two graphs: up to the states of all positions, and one position's logits.

    A bundle's decoder returns the logits of the last position alone. The head runs position by
    position, as it does there: in int8 its activations share one scale with no other position's.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Cut the decoder and load the parts.

        Raises:
            ExportError: the decoder chooses no position.
        """
        self._spec = bundle.manifest.decoder
        self._embed = _session(bundle.path(names.graph_file(names.EMBED_TOKENS)))
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work)
            cut_at_last_position(bundle.path(names.graph_file(names.DECODER)), folder)
            self._states, self._head = (
                _session(folder / f"{name}.onnx") for name in (_STATES, _HEAD)
            )

    def logits(self, ids: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        """Yield the (V,) logits behind each of (S,) tokens of a text's beginning."""
        (embeds,) = self._embed.run(None, {names.INPUT_IDS: ids[None]})
        (states,) = self._states.run(None, graph_inputs(self._spec, embeds))
        (taken,) = self._head.get_inputs()
        for position in range(len(ids)):
            (logits,) = self._head.run(None, {taken.name: states[:, position : position + 1]})
            yield logits[0, -1]


def cut_at_last_position(decoder: Path, folder: Path) -> None:
    """Write ``states.onnx`` and ``head.onnx``, a decoder without its choice of the last position.

    Args:
        decoder: a decoder's file; weights beside it are found.
        folder: receives both files.

    Raises:
        ExportError: the decoder chooses no position.
    """
    model = ir.load(decoder)
    choice = _choice_of_position(model.graph)
    if choice is None:
        raise ExportError(
            f"{decoder} does not choose the last position before its last product",
            "export the checkpoint again",
        )
    every, last = choice.inputs[0], choice.outputs[0]
    last.dtype = every.dtype = ir.DataType.FLOAT  # the quantisers drop what was known
    parts = {_STATES: (model.graph.inputs, [every]), _HEAD: ([last], [names.LOGITS])}
    for name, (inputs, outputs) in parts.items():
        part = ir.convenience.extract(model.graph, inputs, outputs)
        save_model(ir.Model(part, ir_version=model.ir_version), folder / f"{name}.onnx")


def _choice_of_position(graph: ir.Graph) -> ir.Node | None:
    """Return the slice that the logits come from, through first inputs alone."""
    node = next(value for value in graph.outputs if value.name == names.LOGITS).producer()
    while node is not None and node.op_type != "Slice":
        value = node.inputs[0]
        node = None if value is None else value.producer()
    return node


def _session(file: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
