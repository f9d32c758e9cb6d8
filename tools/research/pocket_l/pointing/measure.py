"""The whole experiment: attention of both splits, the choice, the figures, the report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from carve_models.replacing import write_json
from tools.research.pocket.world.model_input import GRID
from tools.research.pocket_l.build import built_identity, export
from tools.research.pocket_l.pointing.findings import find
from tools.research.pocket_l.pointing.pictures import draw_curves, draw_examples
from tools.research.pocket_l.pointing.questions import scene_questions
from tools.research.pocket_l.pointing.report import tables
from tools.research.pocket_l.pointing.split import load_split, measure_scenes, unmeasured
from tools.shared.report import Report

_COMMAND = "python -m tools.research.pocket_l"


@dataclass(frozen=True)
class Extent:
    """How much is measured.

    Attributes:
        scenes: scenes of each split.
        questions: questions about a scene, at most.
    """

    scenes: int = 300
    questions: int = 2


def measure(out: Path, extent: Extent, console: Console) -> Report:
    """Measure what is missing, then write ``out/report``: JSON, Markdown and pictures."""
    rows = out / f"attention-{built_identity(out)}"
    dev, test = (
        list(scene_questions(part, extent.scenes, extent.questions)) for part in ("dev", "test")
    )
    missing = unmeasured([*dev, *test], rows)
    if missing:
        measure_scenes(export(out), missing, rows)
    grid = (GRID, GRID)
    splits = load_split(dev, rows), load_split(test, rows)
    findings = find(*splits, grid)
    folder = out / "report"
    report = Report(_COMMAND, tables(findings))
    write_json(folder / "findings.json", findings)
    (folder / "findings.md").write_text(report.markdown())
    draw_curves(findings, folder / "layers.png")
    draw_examples(test, splits[1], findings.contrast, grid, folder / "examples.png")
    for table in report.tables:
        table.show(console)
    return report
