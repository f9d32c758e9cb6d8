"""Write a split as pictures and labelled questions, which ``carve-eval`` reads.

python -m tools.research.pocket.labelled dev build/dev
carve-eval BUNDLE --jsonl build/dev/questions.jsonl --calibrate-adaptive
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from carve_models.replacing import replacing
from tools.research.pocket.world.cases import GROUPS, Case, Part, by_picture, cases

QUESTIONS = "questions.jsonl"


@click.command(context_settings={"show_default": True})
@click.argument("part", type=click.Choice(get_args(Part)))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--pictures", default=60, help="Pictures of each group.")
def main(part: Part, out: Path, pictures: int) -> None:
    """Write the questions of PART about the first pictures of each group into the folder OUT."""
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / QUESTIONS) as aside, aside.open("wb") as stream:
        for group in GROUPS:
            for number, asked in enumerate(by_picture(cases(part, group, pictures))):
                name = f"{group}-{number:04}.png"
                asked[0].image.save(out / name)
                stream.writelines(msgspec.json.encode(line) + b"\n" for line in _lines(asked, name))


def _lines(asked: list[Case], image: str) -> Iterator[dict[str, Any]]:
    for case in asked:
        line = {"image": image, "question": case.question, "answer": case.answer}
        yield line | {"category": case.group}


if __name__ == "__main__":
    main()
