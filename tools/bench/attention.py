"""Measure what more attention costs: all layers, each head, every position of a chunk.

python -m tools.bench.attention            # prints the table
python -m tools.bench.attention --write    # and fills the page that quotes it

The decoder has 28 layers and random weights. Times are the processor's, of one thread, so that it
matters little what else the machine does. No bundle has the rows of every position: the table says
what they would cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from unittest.mock import patch

import click
import onnx
import onnxruntime
import torch
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen2Config,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from carve_eval.reporting.progress import progress_bars
from carve_eval.reporting.tables import Row, Table, open_console
from carve_export.checkpoint.load import decoder_spec, load_checkpoint
from carve_export.trace import attention
from carve_export.trace.attention import LayerInput
from carve_export.trace.decoder import traceable_decoder
from carve_export.trace.graph import trace_graph
from carve_models.manifest import OPSETS, AttentionRows, DecoderSpec
from carve_models.settings import ALL
from tools.bench.lines.memory import LIBRARIES
from tools.bench.raw_decoder import RawDecoder, run_once
from tools.bench.untapped import keep_rows
from tools.checks.figures import publish
from tools.shared.machine import this_machine
from tools.shared.memory import peak_of
from tools.shared.models.random_checkpoint import RandomModel, write_checkpoint
from tools.shared.report import Report
from tools.shared.timing import interleave, ratio

_COMMAND = "python -m tools.bench.attention"
_PREFILL, _QUESTION = 600, 20
_FLOAT = 4  # bytes
_LAYERS = 28
_QUICK_LAYERS = 2
_IMAGE = 28  # pixels of the tower's side, which nothing runs


def _config(token_id: Callable[[str], int], layers: int) -> LlavaConfig:
    """As deep as Qwen2.5-VL-7B; width and heads of a small model, grouped as there."""
    return LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=_IMAGE,
            patch_size=_IMAGE // 2,
        ),
        text_config=Qwen2Config(
            hidden_size=1024,
            intermediate_size=3072,
            num_hidden_layers=layers,
            num_attention_heads=16,
            num_key_value_heads=2,
            vocab_size=4096,
            max_position_embeddings=4096,
            eos_token_id=token_id("</s>"),
        ),
        image_token_id=token_id("<image>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
    )


def _model(layers: int) -> RandomModel:
    return RandomModel(
        model=LlavaForConditionalGeneration,
        config=partial(_config, layers=layers),
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": _IMAGE}, crop_size={"height": _IMAGE, "width": _IMAGE}
        ),
        end="</s>",
        tokens=[],
        chat_template=None,
        depths=("num_hidden_layers", "num_hidden_layers"),
    )


def every_row(layer: LayerInput, key: Tensor, _: AttentionRows) -> Tensor:
    """Return each query's attention to all keys, mean over heads, (B, S, T) float32."""
    batch, heads, length, width = layer.query.shape
    groups = layer.query.reshape(batch, key.shape[1], heads // key.shape[1], length, width)
    scores = torch.matmul(groups * layer.scale, key.transpose(2, 3)[:, :, None]).float()
    scores = scores.masked_fill(~layer.mask.causal[:, :, None], float("-inf"))
    return scores.softmax(dim=-1).mean(dim=(1, 2))


@dataclass(frozen=True)
class _Tap:
    """What a decoder returns of its attention.

    Attributes:
        name: as in the table.
        rows: as for ``carve-export --attention``.
        every_position: of a chunk; else of its last one.
    """

    name: str
    rows: AttentionRows = "mean"
    every_position: bool = False


_TAPS = (_Tap("mean"), _Tap("heads", "heads"), _Tap("mean, every position", every_position=True))
_COLUMNS = (
    "attention returned",
    f"prefill of {_PREFILL}",
    "bytes",
    "memory",
    f"{_QUESTION} behind {_PREFILL}",
    "bytes",
    f"a token behind {_PREFILL}",
    "bytes",
)
_CASES = ((_PREFILL, 0), (_QUESTION, _PREFILL), (1, _PREFILL))


@dataclass(frozen=True)
class _Decoder:
    """A decoder graph, what it computes, and the layers whose attention it returns."""

    file: Path
    spec: DecoderSpec
    tap: _Tap
    layers: tuple[int, ...]

    def cut(self, layers: tuple[int, ...]) -> _Decoder:
        """Return the decoder with the rows of these layers alone; it shares the weights' file."""
        file = self.file.with_name(f"{len(layers)}-layers.onnx")
        model = onnx.load(self.file, load_external_data=False)
        keep_rows(model.graph, layers)
        onnx.save(model, file)
        return replace(self, file=file, layers=layers)

    def load(self) -> RawDecoder:
        """Load it for one thread."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return RawDecoder(self.file, self.spec, options)

    def peak(self) -> int:
        """Return the bytes that a process needs to load it and to prefill."""
        return peak_of(run_once, self.file, self.spec, _PREFILL, imports=LIBRARIES)[0]

    def returned(self, new: int, past: int) -> int:
        """Return the bytes of attention that a run of ``new`` positions behind ``past`` returns."""
        heads = self.spec.attention_heads if self.tap.rows == "heads" else 1
        positions = new if self.tap.every_position else 1
        return _FLOAT * len(self.layers) * heads * positions * (past + new)


def _traced(checkpoint: Path, folder: Path, tap: _Tap) -> _Decoder:
    """Write a decoder that returns the attention of all its layers."""
    loaded = load_checkpoint(str(checkpoint))
    spec = replace(decoder_spec(loaded, ALL), attention=tap.rows)
    traceable = traceable_decoder(loaded, spec, "ort", [spec.whole])
    tapping = every_row if tap.every_position else attention.last_row
    with patch.object(attention, "last_row", tapping):
        graph = trace_graph(traceable, folder, opset=OPSETS[0])
    return _Decoder(folder / graph.file, spec, tap, spec.tapped_layers)


def _row(name: str, decoder: _Decoder, without: _Decoder, memory: int, rounds: int) -> Row:
    """Compare a decoder that returns attention with one that returns none and takes ``memory``."""
    runs = {"with": decoder.load(), "without": without.load()}
    cells = []
    for new, past in _CASES:
        ways = {way: partial(run.run, new, past) for way, run in runs.items()}
        # A chunk of few positions takes so little time that more rounds cost nothing.
        seconds = interleave(ways, rounds if past == 0 else 4 * rounds, clock=process_time)
        times = ratio(seconds["with"], seconds["without"])
        cells += [
            f"{times.median:.2f} ({times.low:.2f} .. {times.high:.2f})",
            _bytes(decoder.returned(new, past)),
        ]
    del runs
    more = max(decoder.peak() - memory, 0)
    return [f"{name}, {decoder.tap.name}", *cells[:2], _bytes(more), *cells[2:]]


def _bytes(number: int) -> str:
    return f"{number / 1e6:.1f} MB" if number >= 1e5 else f"{number / 1e3:.0f} kB"


def _rows(work: Path, layers: int, taps: Sequence[_Tap], rounds: int) -> Iterator[Row]:
    """Measure one tap after the other; two decoders are in memory at a time."""
    checkpoint = write_checkpoint(_model(layers), work / "checkpoint")
    usual = decoder_spec(load_checkpoint(str(checkpoint)), layers=None).tapped_layers
    without: _Decoder | None = None
    for index, tap in enumerate(taps):
        every = _traced(checkpoint, work / str(index), tap)
        if without is None:
            without = every.cut(())
            memory = without.peak()
        for name, decoder in (("usual layers", every.cut(usual)), ("all layers", every)):
            yield _row(name, decoder, without, memory, rounds)


@click.command(context_settings={"show_default": True})
@click.option("--rounds", default=5, help="Rounds of each measurement.")
@click.option("--quick", is_flag=True, help="A smoke test: one tap of two layers, one round.")
@click.option("--write", is_flag=True, help="Put the figures into the documentation.")
def main(rounds: int, quick: bool, write: bool) -> None:
    """Compare decoders with and without attention."""
    if write and quick:
        raise click.UsageError("--write is for the deep decoder")
    layers, taps, rounds = (_QUICK_LAYERS, _TAPS[-1:], 1) if quick else (_LAYERS, _TAPS, rounds)
    console = open_console()
    with TemporaryDirectory() as work, progress_bars(console) as bars:
        task = bars.add_task("decoders", total=2 * len(taps))
        rows = []
        for row in _rows(Path(work), layers, taps, rounds):
            rows.append(row)
            bars.advance(task)
    machine = this_machine()
    note = (
        "Processor time of one thread with the tap over that without, medians and quartiles; "
        "memory on top of that of a decoder without, at prefill. "
        f"{layers} layers of width 1,024, 16 heads, profile `ort`, float32; "
        f"{machine.cores} cores of {machine.processor}, {machine.date}, "
        f"`{_COMMAND} --rounds {rounds}`."
    )
    table = Table("costs", "What attention costs", _COLUMNS, rows, note)
    table.show(console)
    if write:
        publish("attention", Report(_COMMAND, [table], machine=machine))


if __name__ == "__main__":
    main()
