"""Try damaged inputs by the thousand, and say what came of them.

python -m tests.fuzz                                # 10,000 inputs for each surface
python -m tests.fuzz --inputs 500 --surface images  # fewer, of one
python -m tests.fuzz --write                        # and fill docs/robustness.md

An interrupted campaign goes on where it was. What failed is kept in OUT/findings, with the message;
once it is mended, its input goes into ``tests/fuzz/corpus``, and is tried in every test run.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from carve_eval.reporting.tables import open_console
from tests.fuzz.campaign import trials
from tests.fuzz.child import FINE, Generated, Trial
from tests.fuzz.surface import SURFACES
from tests.fuzz.tally import Tally, read_tally, table, write_tally
from tools.checks.figures import publish
from tools.shared.machine import this_machine
from tools.shared.report import Report

_NUMBER = 10_000
#: Inputs between two times that the state is written.
_EVERY = 100


@click.command(context_settings={"show_default": True})
@click.option("--inputs", default=_NUMBER, help="Inputs for each surface.")
@click.option("--surface", "names", type=click.Choice(SURFACES), multiple=True, default=SURFACES)
@click.option("--seed", default=0, help="Another one gives other inputs.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/fuzz"))
@click.option("--write", is_flag=True, help="Put the table into the documentation.")
def main(inputs: int, names: tuple[str, ...], seed: int, out: Path, write: bool) -> None:
    """Try damaged inputs, and print what came of them; exit code 1 if any failed."""
    if write and set(names) != set(SURFACES):
        raise click.UsageError("--write is for all surfaces together")
    folder = out / str(seed)
    tallies = {name: _campaign(name, inputs, seed, folder) for name in names}
    found = table(tallies)
    found.show(open_console())
    if write:
        command = f"python -m tests.fuzz --inputs {inputs} --seed {seed}"
        publish("robustness", Report(command, [found], machine=this_machine()))
    sys.exit(any(tally.findings for tally in tallies.values()))


def _campaign(name: str, inputs: int, seed: int, folder: Path) -> Tally:
    path = folder / f"{name}.json"
    tally = read_tally(path)
    start = tally.inputs
    tried = trials(name, Generated(seed), folder / "work" / name, start=start, stop=inputs)
    for number, trial in enumerate(tried, start):
        tally = tally.with_trial(trial)
        if trial.outcome not in FINE:
            _keep(folder / "findings" / name / str(number), trial)
        if trial.outcome not in FINE or tally.inputs % _EVERY == 0 or tally.inputs == inputs:
            write_tally(path, tally)
            click.echo(f"{name}: {tally.inputs} of {inputs}, {tally.findings} failed", err=True)
    return tally


def _keep(path: Path, trial: Trial) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".input").write_bytes(trial.data)
    path.with_suffix(".txt").write_text(f"{trial.outcome}\n{trial.message}\n")


if __name__ == "__main__":
    main()
