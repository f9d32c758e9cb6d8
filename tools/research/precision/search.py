"""Which way to 4 bits keeps a model's answers, on pictures of pocket's development split.

python -m tools.research.precision.search                # every way, half an hour on two cores
python -m tools.research.precision.search --only "rounded to nearest"

Ways that need recorded inputs get those of other pictures than the measured ones. Sizes, answers
and masks are compared with float32's; ``right`` and ``points`` are shares of all questions.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import click
import onnx
from onnx.external_data_helper import load_external_data_for_model
from onnxruntime.quantization.matmul_nbits_quantizer import (
    DefaultWeightOnlyQuantConfig,
    GPTQWeightOnlyQuantConfig,
    HQQWeightOnlyQuantConfig,
    KQuantWeightOnlyQuantConfig,
    MatMulNBitsQuantizer,
)

from carve_eval.reporting.tables import Table, open_console
from carve_export.precision import body_and_head
from carve_export.precision.agreement import Outcome, ask_all, measure_quality
from carve_export.precision.calibration import Entry, Feeds, FeedSource, record
from carve_export.precision.int4 import TOLERANCE, to_int4
from carve_export.precision.int8 import Reader
from carve_export.precision.lower import Lower
from carve_export.precision.nbits import BLOCK
from carve_export.precision.products import products
from carve_export.precision.quality import relative_size, rewrite
from carve_models import names
from carve_models.cli import ErrorCommand
from carve_models.manifest import Quality
from carve_runtime.bundle import Bundle, open_bundle
from tools.checks.figures import publish
from tools.research.pocket.world.cases import Group, by_picture, cases
from tools.research.precision.questions import entry_of, save_picture
from tools.research.precision.table import ANSWERS, answer_figures
from tools.shared.report import Report

_COMMAND = "python -m tools.research.precision.search"
#: Pictures to measure on; as many more to calibrate with stand in the second column.
_PICTURES: dict[Group, tuple[int, int]] = {
    "small": (36, 8),
    "distractor": (20, 6),
    "large": (36, 8),
}
_VISION, _DECODER = names.VISION_ENCODER, names.DECODER
#: No error is as large: everything is in 4 bits. None is as small: everything is in 8.
_ALL_4, _ALL_8 = math.inf, 0.0


@dataclass(frozen=True)
class Rounding:
    """A way to fewer bits, for the vision encoder and for the decoder without its last product."""

    name: str
    lower: Lower
    parts: tuple[str, ...] = (_VISION, _DECODER)


def _library(config: Callable[[FeedSource], Any], block: int = BLOCK) -> Lower:
    """Return what the library does with a configuration of its own."""

    def lowered(
        model: onnx.ModelProto, only: set[str] | None, feeds: FeedSource, folder: Path
    ) -> onnx.ModelProto:
        load_external_data_for_model(model, str(folder))
        chosen = {node.name for node in products(model, only) if node.op_type == "MatMul"}
        quantizer = MatMulNBitsQuantizer(
            model,
            block_size=block,
            nodes_to_exclude=sorted({node.name for node in model.graph.node} - chosen),
            algo_config=config(feeds),
        )
        quantizer.process()
        quantized: onnx.ModelProto = quantizer.model.model
        return quantized

    return lowered


def _nearest(block: int = BLOCK, bits: int = 4, *, symmetric: bool = False) -> Lower:
    config = DefaultWeightOnlyQuantConfig(block_size=block, bits=bits, is_symmetric=symmetric)
    return _library(lambda feeds: config)


_ALONE = partial(to_int4, tolerance=_ALL_4)
ROUNDINGS = (
    Rounding("rounded to nearest", _nearest()),
    Rounding("the same, blocks of 16", _nearest(16)),
    Rounding("the same, blocks of 64", _nearest(64)),
    Rounding("the same, symmetric", _nearest(symmetric=True)),
    Rounding("HQQ", _library(lambda feeds: HQQWeightOnlyQuantConfig(block_size=BLOCK))),
    Rounding("k-quant", _library(lambda feeds: KQuantWeightOnlyQuantConfig())),
    Rounding(
        "ONNX Runtime's GPTQ, lm_head too",
        _library(lambda feeds: GPTQWeightOnlyQuantConfig(Reader(feeds()), block_size=BLOCK)),
    ),
    Rounding("GPTQ (int4-only)", _ALONE),
    Rounding("GPTQ, blocks of 16", partial(_ALONE, block=16)),
    Rounding("GPTQ, blocks of 64", partial(_ALONE, block=64)),
    Rounding("GPTQ, decoder", _ALONE, (_DECODER,)),
    Rounding("GPTQ, vision encoder", _ALONE, (_VISION,)),
    *(
        Rounding(f"GPTQ, some in 8 bits, tolerance {name}", partial(to_int4, tolerance=tolerance))
        for name, tolerance in (
            (f"{4 * TOLERANCE}", 4 * TOLERANCE),
            (f"{2 * TOLERANCE}", 2 * TOLERANCE),
            (f"{TOLERANCE} (int4)", TOLERANCE),
        )
    ),
    Rounding("GPTQ, all in 8 bits", partial(to_int4, tolerance=_ALL_8)),
    Rounding("rounded to nearest in 8 bits", _nearest(bits=8)),
)


@click.command(cls=ErrorCommand)
@click.option("--only", multiple=True, type=click.Choice([rounding.name for rounding in ROUNDINGS]))
@click.option("--pictures", type=click.IntRange(min=1), help="Of each kind, and as many for each.")
@click.option("--write", is_flag=True, help="Put the table into the documentation.")
def main(only: tuple[str, ...], pictures: int | None, write: bool) -> None:
    """Lower the default bundle in every way, ask each result the questions, print a table."""
    if write and (only or pictures):
        raise click.UsageError("--write is for the whole table")
    logging.disable(logging.WARNING)
    bundle = open_bundle()
    counts = {
        group: (pictures or many, pictures or few) for group, (many, few) in _PICTURES.items()
    }
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        measured, calibration = write_questions(folder, counts)
        recorded = cache(lambda: record(bundle, calibration, folder))
        baseline = list(ask_all(bundle, measured, folder))
        rows = []
        for rounding in ROUNDINGS:
            if not only or rounding.name in only:
                quality = _try(bundle, rounding, recorded, folder, measured, baseline)
                rows.append((rounding.name, f"{quality.size:.2f}", *answer_figures(quality)))
                click.echo("  ".join(rows[-1]), err=True)
    columns = ("int4", "size", *ANSWERS)
    share = f"{quality.usual_right:.1%}", f"{quality.usual_pointing:.1%}"
    note = f"{len(measured)} questions; in float32 {share[0]} are right, {share[1]} point."
    table = Table("int4", "Ways to 4 bits, against float32", columns, rows, note)
    table.show(open_console())
    if write:
        publish("precision-search", Report(_COMMAND, [table]))


def write_questions(
    folder: Path, counts: Mapping[Group, tuple[int, int]]
) -> tuple[list[Entry], list[Entry]]:
    """Write pictures of the development split into a folder, and the questions about them.

    Args:
        folder: receives the pictures.
        counts: of each group, how many pictures are measured on, and how many others calibrate.

    Returns:
        The questions to measure with, and those to calibrate with.
    """
    measured: list[Entry] = []
    calibration: list[Entry] = []
    for group, (many, few) in counts.items():
        for index, asked in enumerate(by_picture(cases("dev", group, many + few))):
            name = f"{group}-{index}.png"
            entries = save_picture(folder, name, asked[0].image, map(entry_of, asked))
            (measured if index < many else calibration).extend(entries)
    return measured, calibration


def _try(
    bundle: Bundle,
    rounding: Rounding,
    recorded: Callable[[], Mapping[str, Feeds]],
    folder: Path,
    measured: Sequence[Entry],
    baseline: Sequence[Outcome],
) -> Quality:
    def change(name: str, model: onnx.ModelProto, weights: Path) -> onnx.ModelProto:
        if name not in rounding.parts:
            return model
        only = body_and_head(model)[0] if name == _DECODER else None
        return rounding.lower(model, only, lambda: recorded()[name], weights)

    with tempfile.TemporaryDirectory() as work:
        lowered = rewrite(bundle, Path(work), change)
        return measure_quality(
            baseline, ask_all(lowered, measured, folder), {}, relative_size(lowered, bundle)
        )


if __name__ == "__main__":
    main()
