"""Write a split as pictures and labelled questions, which ``carve-eval`` reads.

python -m tools.research.pocket.labelled dev build/dev
carve-eval BUNDLE --jsonl build/dev/questions.jsonl --calibrate-adaptive
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from carve_models.replacing import replacing
from tools.research.pocket.world.cases import GROUPS, Case, Group, Part, by_picture, cases

QUESTIONS = "questions.jsonl"


@click.command(context_settings={"show_default": True})
@click.argument("part", type=click.Choice(get_args(Part)))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--pictures", default=60, help="Pictures of each group.")
def main(part: Part, out: Path, pictures: int) -> None:
    """Write the questions of PART about the first pictures of each group into the folder OUT."""
    write_questions(part, GROUPS, pictures, out)


def write_questions(part: Part, groups: Iterable[Group], pictures: int, out: Path) -> None:
    """Write the questions of some groups, about up to so many pictures of each, into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / QUESTIONS) as aside, aside.open("wb") as stream:
        for group in groups:
            for number, asked in enumerate(by_picture(cases(part, group, pictures))):
                name = f"{group}-{number:04}.png"
                asked[0].image.save(out / name)
                stream.writelines(msgspec.json.encode(line) + b"\n" for line in _lines(asked, name))


def _lines(asked: list[Case], image: str) -> Iterator[dict[str, Any]]:
    for case in asked:
        line = {"image": image, "question": case.question, "answer": case.answer}
        yield line | {"category": case.group} | _place(case)


def _place(case: Case) -> dict[str, Any]:
    """Return where the object is that is asked for, if it is one."""
    if case.target is None:
        return {}
    x, y, half = case.target.x, case.target.y, case.target.side / 2
    return {"box": [float(edge) for edge in (x - half, y - half, x + half, y + half)]}


if __name__ == "__main__":
    main()
