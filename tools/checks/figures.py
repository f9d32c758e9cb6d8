"""Are the figures in the pages those that the tools printed?

python -m tools.checks.figures            # names the pages that are stale
python -m tools.checks.figures --write    # fills them

The tools write JSON files into ``docs/figures``. A page has a part of one of them between the lines
``<!-- figures: NAME begin -->`` and ``<!-- figures: NAME end -->``; ``views.py`` says which names
there are.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from carve_models.replacing import replacing, write_json
from tools.checks.blocks import fill
from tools.checks.views import render

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
_FIGURES = Path("docs") / "figures"
_FOLDERS = ("docs", "models", "runtime", "tools")
_BEGIN = re.compile(r"^<!-- figures: (.+) begin -->$", re.MULTILINE)


def pages(root: Path) -> Iterator[Path]:
    """Yield the Markdown pages below a repository's root that have figures."""
    below = (page for name in _FOLDERS for page in (root / name).rglob("*.md"))
    for page in sorted([*root.glob("*.md"), *below]):
        if "node_modules" not in page.parts and _BEGIN.search(page.read_text(encoding="utf-8")):
            yield page


def filled(page: str, root: Path) -> str:
    """Return a page's text with every figure as the JSON files have it.

    Raises:
        ValueError: a name that there is not, or a part without its end.
    """
    for name in _BEGIN.findall(page):
        begin, end = (f"<!-- figures: {name} {mark} -->" for mark in ("begin", "end"))
        page = fill(page, begin, end, render(name, root / _FIGURES))
    return page


def stale(root: Path, *, write: bool = False) -> list[Path]:
    """Return the pages whose figures differ from the JSON files; with ``write`` repair them."""
    outdated = []
    for page in pages(root):
        text = page.read_text(encoding="utf-8")
        current = filled(text, root)
        if text != current:
            outdated.append(page)
            if write:
                with replacing(page) as aside:
                    aside.write_text(current, encoding="utf-8")
    return outdated


def publish(name: str, report: Any, root: Path = ROOT) -> None:
    """Write a tool's report as ``docs/figures/NAME.json``, and fill the pages."""
    write_json(root / _FIGURES / f"{name}.json", report)
    stale(root, write=True)


@click.command()
@click.option("--write", is_flag=True, help="Fill the pages.")
def main(write: bool) -> None:
    """Compare the figures in the pages with the JSON files in docs/figures."""
    outdated = [page.relative_to(ROOT) for page in stale(ROOT, write=write)]
    for page in outdated:
        click.echo(f"{page}: {'filled' if write else 'stale, run with --write'}")
    if not outdated:
        click.echo("All figures are current.")
    sys.exit(bool(outdated) and not write)


if __name__ == "__main__":
    main()
