"""Try every mutation: ``python -m tools.checks.mutations [--only NAME]``."""

from __future__ import annotations

import sys

import click
from rich.console import Console

from carve_eval.reporting.progress import progress
from carve_eval.reporting.tables import Table
from tools.checks.mutations.mutation import ROOT, load_mutations
from tools.checks.mutations.trial import Result, Trials, Verdict

#: Of the table where it goes to a file.
_WIDTH = 200


@click.command()
@click.option("--only", multiple=True, metavar="NAME", help="Try the mutation of this name alone.")
def main(only: tuple[str, ...]) -> None:
    """Break the product in copies of the repository, one edit at a time, and run named tests.

    Exit code 1 if a mutation survives: if the tests that should notice it pass with it, or fail
    without it.
    """
    mutations = load_mutations()
    if unknown := set(only) - {mutation.name for mutation in mutations}:
        raise click.UsageError(f"there is no mutation named {', '.join(sorted(unknown))}")
    chosen = [mutation for mutation in mutations if not only or mutation.name in only]
    pairs = [(mutation, tests) for mutation in chosen for tests in mutation.caught_by]
    trials = Trials(ROOT)
    console, verdicts = Console(), []
    for pair in progress(pairs, "mutations"):
        verdicts.append(trials.judge(*pair))
        if not console.is_terminal:  # a run of half an hour tells a log file how far it is
            click.echo(f"{verdicts[-1].result.name.lower():<9}{verdicts[-1].mutation.name}")
    table(verdicts).show(console if console.is_terminal else Console(width=_WIDTH))
    missed = [verdict for verdict in verdicts if verdict.result is not Result.CAUGHT]
    click.echo(f"{len(verdicts) - len(missed)} of {len(verdicts)} caught")
    for verdict in missed:
        click.echo(f"{verdict.mutation.name}, {verdict.tests}: {verdict.result.value}")
    sys.exit(bool(missed))


def table(verdicts: list[Verdict]) -> Table:
    """Return the verdicts as a table."""
    rows = [
        (v.mutation.name, v.tests.removeprefix("tests/"), v.result.value, v.detail, v.seconds)
        for v in verdicts
    ]
    columns = ("mutation", "tests", "result", "first failure", "seconds")
    return Table("mutations", "Mutations", columns, rows)


if __name__ == "__main__":
    main()
