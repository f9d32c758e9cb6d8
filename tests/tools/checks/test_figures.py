"""The figures in the pages are those of the JSON files, and what differs is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from carve_eval.reporting.tables import Table
from tests.support import ROOT
from tools.checks.blocks import fill
from tools.checks.figures import filled, main, pages, publish, stale
from tools.shared.report import Report

PAGES = [page.relative_to(ROOT) for page in pages(ROOT)]
FIGURES = Path("docs") / "figures"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the pages and their figures."""
    shutil.copytree(ROOT / FIGURES, tmp_path / FIGURES)
    for page in PAGES:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / page, tmp_path / page)
    return tmp_path


def test_every_page_that_quotes_figures_is_found() -> None:
    assert {"README.md", "docs/quality.md", "models/pocket/README.md"} <= set(map(str, PAGES))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_the_figures_are_current(page: Path) -> None:
    text = (ROOT / page).read_text()
    assert text == filled(text, ROOT)


def test_the_command_agrees() -> None:
    result = CliRunner().invoke(main)
    assert (result.exit_code, result.output) == (0, "All figures are current.\n")


def numbers(document: Any) -> Iterator[tuple[Any, Any]]:
    """Yield container and key of every number in a document."""
    entries = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in entries:
        if isinstance(value, (dict, list)):
            yield from numbers(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield document, key


@pytest.mark.parametrize("name", ["pocket_l", "quality", "speed"])
def test_a_changed_figure_makes_a_page_stale(copy: Path, name: str) -> None:
    path = copy / FIGURES / f"{name}.json"
    document = json.loads(path.read_text())
    assert not stale(copy)
    every = list(numbers(document.get("tables") or document["figures"]))
    for container, key in every[::3]:
        figure, container[key] = container[key], 777
        path.write_text(json.dumps(document))
        assert stale(copy), (key, figure)
        container[key] = figure


@pytest.mark.parametrize("name", ["pocket", "search", "smollm2"])
def test_a_changed_cell_makes_a_page_stale(copy: Path, name: str) -> None:
    path = copy / FIGURES / f"precision-{name}.json"
    document = json.loads(path.read_text())
    document["tables"][0]["rows"][-1][-1] = "77.7%"
    path.write_text(json.dumps(document))
    assert stale(copy) == [copy / "docs" / "precision.md"]
    stale(copy, write=True)
    assert not stale(copy)


def test_a_page_that_was_changed_by_hand_is_stale(copy: Path) -> None:
    page = copy / "README.md"
    page.write_text(page.read_text().replace("| 81.0 |", "| 91.0 |"))
    assert stale(copy) == [page]
    stale(copy, write=True)
    assert page.read_text() == (ROOT / "README.md").read_text()


def test_a_tool_publishes_its_report(copy: Path) -> None:
    path = copy / FIGURES / "pocket_l.json"
    report = msgspec.json.decode(path.read_bytes(), type=Report)
    table, *_ = report.tables
    changed = Table(table.name, table.title, table.columns, table.rows[:1], "A new note.")
    publish("pocket_l", Report(report.source, [changed, *report.tables[1:]]), copy)
    assert "A new note." in (copy / "tools/research/pocket_l/README.md").read_text()
    assert not stale(copy)


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("<!-- figures: nothing begin -->\n<!-- figures: nothing end -->", "no figures 'nothing'"),
        ("<!-- figures: quality x begin -->\n<!-- figures: quality x end -->", "no table 'x'"),
        ("<!-- figures: pocket begin -->\n", "expected one part"),
        (2 * "<!-- figures: pocket begin -->\n<!-- figures: pocket end -->\n", "expected one part"),
    ],
)
def test_marks_that_mean_nothing(page: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        filled(page, ROOT)


def test_what_stands_around_a_part_stays() -> None:
    assert fill("a\n<\nold\n>\nb\n", "<", ">", "new\n") == "a\n<\nnew\n>\nb\n"
