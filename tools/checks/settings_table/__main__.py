"""Write what the C and JavaScript libraries copy from Python, or say what is out of date.

Usage: python -m tools.checks.settings_table [--write]

Both libraries build from the committed files alone. Enumerators of ``carve.h`` keep their numbers
for programs that are already compiled: append values, never reorder them.
"""

from __future__ import annotations

import sys

import click

from tools.checks.settings_table.files import ROOT, generated_files


@click.command()
@click.option("--write", is_flag=True, help="Rewrite the files.")
def main(write: bool) -> None:
    """Name the files that differ from the settings in Python, or rewrite them."""
    stale = [
        path
        for path, text in generated_files().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        click.echo(path.relative_to(ROOT))
        if write:
            path.write_text(generated_files()[path], encoding="utf-8")
    sys.exit(bool(stale) and not write)


if __name__ == "__main__":
    main()
