"""What the pages show of the JSON files in ``docs/figures``.

``FILE`` is all tables of a file, ``FILE TABLE`` one table with its note; the names of ``_VIEWS``
choose from the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from carve_eval.reporting.interval import Interval
from carve_eval.reporting.tables import Cell, Table
from tools.checks.scale import scale_table
from tools.shared.figures import Figure, SpeedReport, tabulate
from tools.shared.report import Report

T = TypeVar("T")

#: Kinds of question as other pages than the tool's own call them, in their order.
_KINDS = {
    "small": "texts on small objects",
    "distractor": "the same among salient distractors",
    "large": "texts on large objects",
    "presence": "yes/no presence",
    "easy": "easy-VQA, test images",
}
_REAL = "SmolLM2-135M, 576 tokens"
#: What the README says of speed: labels, and the lines of the whole table with their cases. Lines
#: that name the best peer go on with its name.
_SPEED = {
    "plain answer": [("plain", f"{_REAL}, 4 tokens")],
    "CARVE, v4 with the pair / plain": [("v4, pair", f"{_REAL}, 4 tokens")],
    "CARVE, first step, early exit, refined image alone / plain": [
        ("early exit, refined", f"{_REAL}, 4 tokens")
    ],
    "second question about the same image / plain": [
        ("second question, refined", f"{_REAL}, 4 tokens")
    ],
    "scout mode, photograph of 12 megapixels, Qwen2.5-VL's layout / plain at 1,280 tokens": [
        (
            "scout / plain, 12 megapixels",
            "Qwen2.5-VL layout, SmolLM2-135M's shape, 1280 tokens: scout 256, final 320 tokens",
        )
    ],
    "the released code in eager PyTorch / CARVE, v4 with the pair; answers of 3 tokens, one round, "
    "its general pass forced to 32 steps": [
        ("faster than the released code", f"{_REAL}, 3 tokens, general pass of 32")
    ],
    "the tap: prefill with / without it, time and memory": [
        ("tap: time with / without", f"{_REAL}, prefill 600, 6 layers tapped"),
        ("tap: peak memory with / without", f"{_REAL}, prefill 600, 6 layers tapped"),
    ],
    "prefill of 600, this runtime / the best of PyTorch, OpenVINO, ONNX Runtime GenAI": [
        ("prefill of 600: ours / ", _REAL)
    ],
    "suffix of 20 over a cached prefix, likewise": [("suffix of 20 over 576: ours / ", _REAL)],
    "one token, likewise": [("one token over 576: ours / ", _REAL)],
    "default bundle, from process start to the first printed answer": [("cold start", "pocket")],
}
_OPTIONS, _SCALING = "session options", "scaling"


def render(name: str, folder: Path) -> str:
    """Return the part of a page that a name stands for.

    Args:
        name: see above.
        folder: with the JSON files.

    Raises:
        ValueError: there is no such name.
    """
    if name in _VIEWS:
        return _VIEWS[name](folder)
    file, _, table = name.partition(" ")
    report = _read(folder, file, Report)
    if not table:
        return report.markdown()
    chosen = report.table(table)
    return "\n\n".join(filter(None, (chosen.grid(), chosen.note)))


def _read(folder: Path, name: str, kind: type[T]) -> T:
    path = folder / f"{name}.json"
    if not path.is_file():
        raise ValueError(f"there are no figures {name!r}: {path} is missing")
    return msgspec.json.decode(path.read_bytes(), type=kind)


def _pocket(folder: Path) -> str:
    """Return accuracies on pocket's kinds of question, without intervals."""
    report = _read(folder, "quality", Report)
    kinds = report.table("kinds")
    rows: list[list[Cell]] = []
    for kind, label in _KINDS.items():
        plain, carve = (_estimate(kinds.cell(kind, way)) for way in ("plain", "CARVE"))
        rows.append([label, kinds.cell(kind, "number"), plain, carve, None])
    rows[0][-1] = _estimate(report.table("ways").cell("oracle crop", "right"))
    return Table(
        "pocket", "", ("questions", "number", "plain", "CARVE", "oracle crop"), rows
    ).grid()


def _contrast(folder: Path) -> str:
    """Return what the contrast gains where pocket needs CARVE."""
    kinds = _read(folder, "quality", Report).table("kinds")
    columns = ("CARVE", "question alone", "CARVE : alone")
    rows = [
        [_KINDS[kind], *(kinds.cell(kind, column) for column in columns), _last(kinds, kind)]
        for kind in ("small", "distractor")
    ]
    return Table("contrast", "", ("questions", *columns, "p"), rows, kinds.note).grid()


def _last(table: Table, label: str) -> Cell:
    return next(row[-1] for row in table.rows if row[0] == label)


def _estimate(cell: Cell) -> Cell:
    return cell.estimate if isinstance(cell, Interval) else cell


def _speed(chosen: Callable[[Figure], bool]) -> Callable[[Path], str]:
    def view(folder: Path) -> str:
        figures = _read(folder, "speed", SpeedReport).figures
        return tabulate([figure for figure in figures if chosen(figure)]).grid()

    return view


def _speed_summary(folder: Path) -> str:
    """Return the lines that the README names."""
    report = _read(folder, "speed", SpeedReport)
    rows = [
        (label, ", ".join(_median(report.figures, *line) for line in lines))
        for label, lines in _SPEED.items()
    ]
    grid = Table("summary", "", ("what", "measured"), rows).grid()
    machine = report.machine
    place = f"{machine.cores} cores of {machine.processor}, {machine.date}, `{report.source}`."
    return f"{grid}\n\n{place}"


def _median(figures: Iterable[Figure], line: str, what: str) -> str:
    for figure in figures:
        named = figure.line.startswith(line) if line.endswith(" ") else figure.line == line
        if named and figure.what == what and figure.value:
            return f"{figure.value.median:#.3g}{' s' if figure.unit == 's' else ''}"
    raise ValueError(f"the figures of speed have no line {line!r} for {what!r}")


def _machine(report: SpeedReport) -> str:
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return (
        f"Measured by `{report.source}` on {machine.date}: {machine.cores} cores of "
        f"{machine.processor}, {machine.system}, Python {machine.python}, {versions}."
    )


def _speed_machine(folder: Path) -> str:
    return _machine(_read(folder, "speed", SpeedReport))


def _batch(folder: Path) -> str:
    report = _read(folder, "batch", SpeedReport)
    return f"{tabulate(report.figures).grid()}\n\n{_machine(report)}"


_VIEWS: dict[str, Callable[[Path], str]] = {
    "pocket": _pocket,
    "contrast": _contrast,
    "speed": _speed(lambda figure: not figure.line.startswith((_OPTIONS, _SCALING))),
    "speed options": _speed(lambda figure: figure.line.startswith(_OPTIONS)),
    "speed scaling": _speed(lambda figure: figure.line.startswith(_SCALING)),
    "speed summary": _speed_summary,
    "speed machine": _speed_machine,
    "batch": _batch,
    "scale": scale_table,
}
