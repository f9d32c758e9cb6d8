"""``carve-export prompt``: the ids that the runtime would send."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from carve_export.cli.main import main
from carve_runtime import Carve
from tests.support import POCKET

QUESTIONS = ["What word is on the purple square?", "Is there a dog?"]


def test_the_file_holds_every_text(pocket: Carve, tmp_path: Path) -> None:
    out = tmp_path / "questions.json"
    done = CliRunner().invoke(main, ["prompt", str(POCKET), str(out), *QUESTIONS])
    assert done.exit_code == 0, done.output
    written = {entry["text"]: entry["ids"] for entry in json.loads(out.read_text())["texts"]}
    prompts = pocket.manifest.prompts
    for question in [*QUESTIONS, prompts.general]:
        for segments in (prompts.single, prompts.pair):
            (template,) = [segment.text for segment in segments if segment.text]
            sent = f"{question} {prompts.suffix}" if prompts.suffix else question
            text = template.replace("{text}", sent)
            assert written[text] == pocket._model.text.encode(text).tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["questions.json"]


def test_wrong_use(tmp_path: Path) -> None:
    out = str(tmp_path / "questions.json")
    for arguments, message in (
        (["prompt", str(tmp_path), out, "What?"], "is not a bundle"),
        (["prompt", str(POCKET), out, " "], "the question is empty"),
        (["prompt", str(POCKET), out], "Missing argument"),
    ):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code != 0
        assert message in done.output
    assert list(tmp_path.iterdir()) == []
