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
from carve_models.settings import ALL, All
from tools.bench.lines.memory import LIBRARIES
from tools.bench.raw_decoder import RawDecoder, run_once
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
        layers: as for ``carve-export --layers``.
        rows: as for ``carve-export --attention``.
        every_position: of a chunk; else of its last one.
    """

    layers: All | None
    rows: AttentionRows = "mean"
    every_position: bool = False

    @property
    def name(self) -> str:
        """As in the table."""
        layers = "all layers" if self.layers else "the usual layers"
        rows = "heads" if self.rows == "heads" else "mean"
        return f"{layers}, {rows}" + (", every position" if self.every_position else "")

    def values(self, spec: DecoderSpec, new: int, past: int) -> int:
        """Return how many numbers a run of ``new`` positions behind ``past`` returns."""
        heads = spec.attention_heads if self.rows == "heads" else 1
        positions = new if self.every_position else 1
        return len(spec.tapped_layers) * heads * positions * (past + new)


_TAPS = (
    _Tap(None),
    _Tap(None, "heads"),
    _Tap(ALL),
    _Tap(ALL, "heads"),
    _Tap(None, every_position=True),
    _Tap(ALL, every_position=True),
)
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
    """A decoder graph."""

    file: Path
    spec: DecoderSpec

    def peak(self, rounds: int) -> int:
        """Return the bytes that a process needs to load it and prefill, the least of some."""
        work = partial(peak_of, run_once, self.file, self.spec, _PREFILL, imports=LIBRARIES)
        return min(work()[0] for _ in range(rounds))


def _traced(checkpoint: Path, folder: Path, tap: _Tap | None) -> _Decoder:
    """Write a decoder with a tap, or without."""
    loaded = load_checkpoint(str(checkpoint))
    chosen = tap or _TAPS[0]
    spec = replace(decoder_spec(loaded, chosen.layers), attention=chosen.rows)
    whole = spec.whole if tap else replace(spec.whole, tapped=())
    traceable = traceable_decoder(loaded, spec, "ort", [whole])
    with patch.object(
        attention, "last_row", every_row if chosen.every_position else attention.last_row
    ):
        graph = trace_graph(traceable, folder, opset=OPSETS[0])
    return _Decoder(folder / graph.file, spec)


def _row(tap: _Tap, decoder: _Decoder, without: _Decoder, memory: int, rounds: int) -> Row:
    """Compare a decoder that returns attention with one that returns none and takes ``memory``."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    runs = {
        "with": RawDecoder(decoder.file, decoder.spec, options),
        "without": RawDecoder(without.file, without.spec, options),
    }
    cells = []
    for new, past in _CASES:
        ways = {name: partial(run.run, new, past) for name, run in runs.items()}
        # A chunk of few positions takes so little time that more rounds cost nothing.
        seconds = interleave(ways, rounds if past == 0 else 4 * rounds, clock=process_time)
        times = ratio(seconds["with"], seconds["without"])
        cells += [
            f"{times.median:.2f} ({times.low:.2f} .. {times.high:.2f})",
            _bytes(_FLOAT * tap.values(decoder.spec, new, past)),
        ]
    del runs
    more = max(decoder.peak(rounds) - memory, 0)
    return [tap.name, *cells[:2], _bytes(more), *cells[2:]]


def _bytes(number: int) -> str:
    return f"{number / 1e6:.1f} MB" if number >= 1e5 else f"{number / 1e3:.0f} kB"


def _rows(work: Path, layers: int, taps: Sequence[_Tap], rounds: int) -> Iterator[Row]:
    """Measure one tap after the other; two decoders are in memory at a time."""
    checkpoint = write_checkpoint(_model(layers), work / "checkpoint")
    without = _traced(checkpoint, work / "without", None)
    memory = without.peak(rounds)
    for tap in taps:
        with TemporaryDirectory(dir=work) as folder:
            yield _row(tap, _traced(checkpoint, Path(folder), tap), without, memory, rounds)


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
        task = bars.add_task("decoders", total=len(taps))
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
