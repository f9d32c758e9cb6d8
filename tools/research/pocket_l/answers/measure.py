"""Measure the trained model: choose where to look on one split, ask the other, compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import numpy as np

from carve_eval import cli as carve_eval
from carve_eval.evaluation import Report as Evaluated
from carve_eval.figures import POINTING
from carve_eval.reporting.tables import Cell, P, Table, interval_cell
from carve_runtime.bundle import Bundle
from tools.research.pocket.labelled import QUESTIONS, write_questions
from tools.research.pocket.training.loop import Metrics
from tools.research.pocket.world.cases import Group
from tools.research.pocket.world.model_input import GRID
from tools.research.pocket_l.answers.checkpoints import State
from tools.research.pocket_l.answers.whole import merge
from tools.research.pocket_l.build import built_identity, export
from tools.research.pocket_l.pointing.contrast import REGULARIZERS
from tools.research.pocket_l.pointing.experiment import Choice, Method, choose, point, rate
from tools.research.pocket_l.pointing.questions import scene_questions
from tools.research.pocket_l.pointing.split import load_split, measure_scenes, unmeasured
from tools.shared.files import write_once
from tools.shared.report import Report

_COMMAND = "python -m tools.research.pocket_l.answers measure"
_MAX_NEW_TOKENS = 8
#: Of the table of training.
_ROWS = 6
#: No pass has a suffix, as in training; the runtime knows no regulariser "per token".
_ALONE: Method = ("none", None)
_CONTRAST: tuple[Method, ...] = tuple(
    ("none", each) for each in REGULARIZERS if each != "per token"
)


@dataclass(frozen=True)
class Extent:
    """How much is measured.

    Attributes:
        scenes: of the development split, to choose layer and regulariser on.
        pictures: of each group of the test split, with up to three questions each.
        groups: of the test split.
    """

    scenes: int = 150
    pictures: int = 340
    groups: tuple[Group, ...] = ("small", "distractor", "large")


@dataclass(frozen=True)
class Look:
    """One way to look closer.

    Attributes:
        label: as ``carve-eval --setting`` takes it.
        development: share of questions of the development split whose strongest token hits.
    """

    label: str
    development: float


def measure(out: Path, extent: Extent) -> Report:
    """Return accuracies of plain answers, contrast and question alone; goes on where it stopped."""
    trained, state = merge(out)
    bundle = export(trained, _MAX_NEW_TOKENS)
    contrast, alone = _choose(trained, bundle, extent.scenes)
    evaluated = {
        group: _evaluate(trained, bundle, group, extent.pictures, (contrast, alone))
        for group in extent.groups
    }
    settings = {"contrast": asdict(contrast), "question alone": asdict(alone)}
    tables = [_accuracies(evaluated), _training(state)]
    return Report(_COMMAND, tables, settings | {"recipe": asdict(state.recipe)})


def _choose(trained: Path, bundle: Bundle, count: int) -> tuple[Look, Look]:
    """Return how to contrast, and how to look with the question's attention alone."""
    rows = trained / f"attention-{built_identity(trained)}"
    scenes = list(scene_questions("dev", count, per_scene=2))
    measure_scenes(bundle, unmeasured(scenes, rows), rows)
    split = load_split(scenes, rows)
    points = point(split, (GRID, GRID))
    depth = split.question.shape[2]

    def look(methods: Sequence[Method]) -> Look:
        choice = choose(points, split.targets, methods)
        hits = rate(points[choice.wording, choice.regularizer], split.targets)
        return Look(_label(choice, depth), float(hits[choice.layer]))

    return look(_CONTRAST), look([_ALONE])


def _label(choice: Choice, depth: int) -> str:
    """Return the choice as ``carve-eval --setting`` takes it."""
    layers = f"0-{depth - 1}" if choice.layer == depth else str(choice.layer)
    if choice.regularizer is None:
        return f"contrast=off layers={layers}"
    return f"contrast=on layers={layers} regularizer={choice.regularizer}"


def _evaluate(
    trained: Path, bundle: Bundle, group: Group, pictures: int, looks: Sequence[Look]
) -> Evaluated:
    """Ask the questions of a group of the test split through ``carve-eval``."""
    questions = trained.parent / "questions" / f"{group}-{pictures}"
    write_once(questions, lambda aside: write_questions("test", [group], pictures, aside))
    folder = trained / f"eval-{built_identity(trained)}" / questions.name
    settings = [argument for look in looks for argument in ("--setting", look.label)]
    asked = ["--jsonl", str(questions / QUESTIONS), "--out", str(folder)]
    carve_eval.main([str(bundle.folder), *asked, *settings], standalone_mode=False)
    return msgspec.json.decode((folder / "figures.json").read_bytes(), type=Evaluated)


def _accuracies(evaluated: dict[Group, Evaluated]) -> Table:
    rows: list[list[Cell]] = []
    for group, report in evaluated.items():
        contrast, alone = (each for each in report.figures if not each.group)
        (against,) = report.comparisons
        rows.append(
            [
                group,
                contrast.questions,
                *(interval_cell(each.percent) for each in (contrast.plain, alone.refined)),
                interval_cell(contrast.refined.percent),
                *(_percent(each.refined_measures.get(POINTING)) for each in (alone, contrast)),
                f"{contrast.only_refined} : {contrast.only_plain}",
                P(contrast.p_value),
                f"{against.only_reference} : {against.only_setting}",
                P(against.p_value),
            ]
        )
    columns = (
        *("questions", "number", "plain", "question alone", "contrast"),
        *("alone points", "contrast points", "contrast : plain", "p", "contrast : alone", "p"),
    )
    note = (
        "Percent with 95 % intervals; points: how often the map's peak lies on the object asked "
        "for. A : B counts the questions that only A, and only B, answers rightly; p is "
        "McNemar's, exact."
    )
    return Table("answers", "Questions of the test split", columns, rows, note)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _training(state: State) -> Table:
    """Return what training said of itself: loss, and accuracy on what it was about to learn."""
    kinds = sorted({name for _, means in state.history for name in means} - {"loss"})
    rows: list[list[Cell]] = []
    for part in _parts(state.history):
        loss, *accuracies = (_mean(part, name) for name in ("loss", *kinds))
        rows.append([f"to {part[-1][0]}", f"{loss:.3f}", *map(_percent, accuracies)])
    title = f"Training, {state.step} of {state.recipe.steps} steps"
    note = "Percent right of the batches' own answers, before they were learnt from."
    return Table("training", title, ("steps", "loss", *kinds), rows, note)


def _parts(history: Sequence[tuple[int, Metrics]]) -> Iterator[Sequence[tuple[int, Metrics]]]:
    """Yield consecutive parts of about the same length, as many as the table has rows."""
    for numbers in np.array_split(np.arange(len(history)), min(_ROWS, len(history))):
        yield history[numbers[0] : numbers[-1] + 1]


def _mean(history: Sequence[tuple[int, Metrics]], name: str) -> float | None:
    """Return the mean of what is known of one figure."""
    known = [means[name] for _, means in history if name in means]
    return float(np.mean(known)) if known else None
