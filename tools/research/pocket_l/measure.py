"""The whole experiment: attention of both splits, the choice, the figures, the report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tools.research.pocket.architecture import GRID
from tools.research.pocket_l.attention import Reader
from tools.research.pocket_l.build import built_identity
from tools.research.pocket_l.checkpoint import PROMPT
from tools.research.pocket_l.findings import Findings, find
from tools.research.pocket_l.pictures import draw_curves, draw_examples
from tools.research.pocket_l.questions import scene_questions
from tools.research.pocket_l.report import show, to_markdown
from tools.research.pocket_l.split import load_split, measure_scenes, unmeasured


@dataclass(frozen=True)
class Extent:
    """How much is measured.

    Attributes:
        scenes: scenes of each split.
        questions: questions about a scene, at most.
    """

    scenes: int = 300
    questions: int = 2


def measure(out: Path, extent: Extent, console: Console) -> Findings:
    """Measure what is missing, then write ``out/report``: JSON, Markdown and pictures."""
    rows = out / f"attention-{built_identity(out)}"
    dev, test = (
        list(scene_questions(part, extent.scenes, extent.questions)) for part in ("dev", "test")
    )
    left = unmeasured([*dev, *test], rows)
    if left:
        measure_scenes(Reader.load(str(out / "checkpoint"), PROMPT), left, rows)
    grid = (GRID, GRID)
    splits = load_split(dev, rows), load_split(test, rows)
    findings = find(*splits, grid)
    report = out / "report"
    report.mkdir(exist_ok=True)
    (report / "findings.json").write_text(json.dumps(findings.to_json(), indent=2) + "\n")
    (report / "findings.md").write_text(to_markdown(findings))
    draw_curves(findings, report / "layers.png")
    draw_examples(test, splits[1], findings.contrast, grid, report / "examples.png")
    show(findings, console)
    return findings
