"""Make the README's support table from the cases that the tests run.

Usage: python -m tools.checks.support_table [--write]
"""

from __future__ import annotations

from pathlib import Path

import click
import yaml

from tools.checks.blocks import fill

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- support table: begin -->", "<!-- support table: end -->"


def support_table() -> str:
    """Return a Markdown table: one row a case of ``tests/cases/*.yaml``."""
    rows = ["| family | case | covers | profiles |", "| --- | --- | --- | --- |"]
    for path in sorted((ROOT / "tests" / "cases").glob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows += [
            f"| {document['title']} | `{case['name']}` | {case['covers']} | ort, portable |"
            for case in document["cases"]
        ]
    return "\n".join(rows)


def with_table(readme: str) -> str:
    """Return the README's text with the table between its marks replaced."""
    return fill(readme, BEGIN, END, support_table())


@click.command()
@click.option("--write", is_flag=True, help="Rewrite README.md.")
def main(write: bool) -> None:
    """Print the table, or put it into README.md."""
    if not write:
        click.echo(support_table())
        return
    path = ROOT / "README.md"
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
