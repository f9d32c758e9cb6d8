"""Measure how many questions a batch answers while a loop over ``ask`` answers one.

python -m tools.bench.batch            # prints the table
python -m tools.bench.batch --write    # and fills the pages that quote it
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
from PIL import Image

from carve_eval.reporting.tables import open_console
from carve_models.settings import SettingsChanges
from carve_runtime import Carve
from carve_runtime.batch import (
    WORKERS,
    AnswerOptions,
    Record,
    answer_all,
    describe_run,
    open_answers,
    share_of_cores,
)
from tools.bench.lines.host import photograph
from tools.bench.subjects import Subject, pocket, real_proportions
from tools.checks.figures import publish
from tools.shared.figures import Figure, SpeedReport, tabulate
from tools.shared.machine import this_machine
from tools.shared.timing import interleave, ratio, spread

_COMMAND = "python -m tools.bench.batch"
_REACH = 1.3
_TOKENS = 4  # of answers that would never end: the model of real proportions knows no pictures
_STEP = 7  # pixels by which one picture is the one before, rolled


@dataclass(frozen=True)
class _Case:
    """Pictures of one kind, none of them twice."""

    name: str
    subject: Subject
    pictures: list[Path]
    settings: SettingsChanges = field(default_factory=SettingsChanges)

    def measure(self, work: Path, rounds: int) -> Iterator[Figure]:
        """Yield the batch's speed, and its ratio to loops with two numbers of threads."""
        question = self.subject.question
        records = [Record(image=path, question=question) for path in self.pictures]
        options, threads = AnswerOptions(settings=self.settings), share_of_cores(WORKERS)
        loops = {None: self._load(None), threads: self._load(threads)}
        batch, output = self._load(threads), work / "answers.jsonl"

        def loop(vlm: Carve) -> None:
            for path in self.pictures:
                vlm.ask(path, question, **self.settings)

        def in_batch() -> None:
            output.unlink(missing_ok=True)
            with open_answers(output, describe_run(batch, options)) as answers:
                for answer in answer_all(batch, answers.missing(records), options):
                    answers.write(answer)

        seconds = interleave(
            {
                "batch": in_batch,
                "loop": lambda: loop(loops[None]),
                "one": lambda: loop(loops[threads]),
            },
            rounds,
        )
        rate = [len(records) / each for each in seconds["batch"]]
        yield Figure(f"batch of {len(records)}", self.name, spread(rate), "a second")
        gain = ratio(seconds["loop"], seconds["batch"])
        yield Figure("batch : loop over ask", self.name, gain, reach=_REACH, at_least=True)
        gain = ratio(seconds["one"], seconds["batch"])
        yield Figure(f"batch : loop over ask, threads={threads}", self.name, gain)

    def _load(self, threads: int | None) -> Carve:
        return Carve.load(self.subject.bundle, threads=threads, image_cache_bytes=0)


def _cases(work: Path, models: Path, *, quick: bool) -> Iterator[_Case]:
    small = pocket()
    number = 2 if quick else 24
    yield _Case("pocket, 640 x 640", small, _pictures(small, work / "small", number))
    if quick:
        return
    photographs = _pictures(small, work / "large", 12)
    for path in photographs:
        with Image.open(path) as picture:
            photograph(picture.convert("RGB"), path)
    yield _Case("pocket, JPEG of 12 megapixels", small, photographs)
    real = real_proportions(models)
    pictures = _pictures(real, work / "real", 4)
    yield _Case(real.name, real, pictures, {"max_new_tokens": _TOKENS})


def _pictures(subject: Subject, folder: Path, number: int) -> list[Path]:
    """Write the subject's image so many times, moved a little each time."""
    folder.mkdir()
    pixels, paths = np.asarray(subject.image), []
    for index in range(number):
        path = folder / f"{index}.jpg"
        Image.fromarray(np.roll(pixels, index * _STEP, axis=1)).save(path)
        paths.append(path)
    return paths


@click.command(context_settings={"show_default": True})
@click.option("--models", type=click.Path(path_type=Path), default=Path("build/bench"))
@click.option("--rounds", default=5, help="Rounds of each measurement.")
@click.option("--quick", is_flag=True, help="A smoke test: two small pictures, one round.")
@click.option("--write", is_flag=True, help="Put the figures into the documentation.")
def main(models: Path, rounds: int, quick: bool, write: bool) -> None:
    """Compare a batch with a loop; nothing else should run on the machine meanwhile."""
    if write and quick:
        raise click.UsageError("--write is for all cases together")
    rounds = 1 if quick else rounds
    with TemporaryDirectory() as work:
        figures = [
            figure
            for case in _cases(Path(work), models, quick=quick)
            for figure in case.measure(Path(work), rounds)
        ]
    tabulate(figures).show(open_console())
    if write:
        report = SpeedReport(f"{_COMMAND} --rounds {rounds}", this_machine(), figures)
        publish("batch", report)


if __name__ == "__main__":
    main()
