"""Ask what is open, then print and write what the answers say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from carve_eval.calibration import (
    CalibrationError,
    choose,
    cross_validate,
    gather,
    trade_off_table,
)
from carve_eval.figures import Comparison, Figures, compare, evaluate
from carve_eval.reporting.progress import progress_bars
from carve_eval.reporting.tables import open_console
from carve_eval.rows import write_rows
from carve_eval.runner import Run, ask, by_image, open_questions
from carve_eval.tables import tables
from carve_eval.thresholds import write_thresholds
from carve_models.replacing import write_json
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import Bundle
from carve_runtime.carve import Carve

_FIGURES_FILE = "figures.json"
_INTERRUPTED = 130


@dataclass(frozen=True)
class Report:
    """What ``figures.json`` holds; what is undefined is null."""

    figures: Sequence[Figures]
    comparisons: Sequence[Comparison]


def run(
    bundle: Bundle,
    backend: BackendSettings,
    groups: Sequence[Sequence[Run]],
    *,
    limit: int | None,
    out: Path,
    rows: Sequence[Path],
    calibrate: bool,
) -> None:
    """Evaluate a bundle.

    Args:
        bundle: it, opened.
        backend: what runs its graphs.
        groups: the runs of each benchmark, under every setting.
        limit: most questions of each benchmark; ``None`` is all.
        out: folder of the figures.
        rows: files that every answer is written to.
        calibrate: write the adaptive mode's thresholds into the bundle.

    Raises:
        CalibrationError: the answers do not suffice for that.
    """
    console = open_console()
    if any(_open(runs, limit) for runs in groups):
        _ask_all(Carve(bundle, backend), groups, limit, console)
    every = [each for runs in groups for each in runs]
    report = Report(
        [row for each in every for row in evaluate(each)],
        [row for runs in groups for row in compare(runs)],
    )
    if report.figures:
        write_json(out / _FIGURES_FILE, report)
        for table in tables(report.figures, report.comparisons):
            table.show(console)
    for path in rows:
        write_rows(path, every)
    if calibrate:
        _calibrate(bundle, every, console)


def _ask_all(
    vlm: Carve, groups: Sequence[Sequence[Run]], limit: int | None, console: Console
) -> None:
    """Ask whatever is open, with a bar for each benchmark."""
    with progress_bars(console) as bars:
        try:
            for runs in groups:
                bar = bars.add_task(runs[0].benchmark.title, total=_open(runs, limit))
                ask(vlm, runs, limit=limit, on_answer=partial(bars.advance, bar))
        except KeyboardInterrupt:
            console.print("Interrupted. What was answered is kept: the same command goes on.")
            raise SystemExit(_INTERRUPTED) from None


def _open(runs: Sequence[Run], limit: int | None) -> int:
    """Return how many answers are still to be had."""
    chosen = by_image(runs[0].questions, limit).values()
    return sum(len(open_questions(runs, questions)) for questions in chosen)


def _calibrate(bundle: Bundle, runs: Sequence[Run], console: Console) -> None:
    """Choose thresholds, show what they do, and write them."""
    defaults = bundle.manifest.defaults
    evidence = gather([each for each in runs if each.setting.is_usual(defaults)])
    chosen = choose(evidence)
    trade_off_table(evidence, chosen, cross_validate(evidence)).show(console)
    if not chosen.kept:
        raise CalibrationError(
            "no thresholds keep a plain answer without losing accuracy, so none were written",
            "give more questions, or ask without adaptive",
        )
    backup = write_thresholds(bundle, chosen.sure_probability, chosen.focused_entropy)
    console.print(
        f"{bundle.folder}: sure_probability {chosen.sure_probability:.4f} (before: "
        f"{defaults.sure_probability}), focused_entropy {chosen.focused_entropy:.3f} (before: "
        f"{defaults.focused_entropy}). The manifest as it was: {backup.name}",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
