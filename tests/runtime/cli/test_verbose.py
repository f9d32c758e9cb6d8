"""What carve-run says on standard error beside errors: steps with -v, and what default knows."""

from __future__ import annotations

import re

import pytest

from tests.runtime.cli.commands import ASK, carve_run
from tests.support import POCKET

NOTE = r"note   the default bundle knows drawn scenes .* photograph means nothing\n"
STEPS = (
    r"carve_runtime\.bundle: opened \S+: llava, profile ort",
    r"carve_runtime\.backends: loaded vision_encoder with ort in [\d.]+ s",
    r"carve_runtime\.usage: answered: .*vision [\d.]+ s, .*total [\d.]+ s",
)


def test_steps_and_times_with_v_and_nothing_after_it() -> None:
    said = carve_run(*ASK, "-v")
    assert said.exit_code == 0, said.output
    for step in STEPS:
        assert re.search(rf"^[\d-]+ [\d:,]+ {step}$", said.stderr, re.MULTILINE), said.stderr
    assert "carve_runtime" not in said.stdout
    assert "carve_runtime" not in carve_run(*ASK).stderr


@pytest.mark.parametrize(
    ("bundle", "options", "expected"),
    [("default", (), NOTE), ("default", ("--json",), ""), (str(POCKET), (), "")],
)
def test_the_default_bundle_is_not_for_photographs(
    bundle: str, options: tuple[str, ...], expected: str
) -> None:
    command, _, *rest = ASK
    said = carve_run(command, bundle, *rest, *options)
    assert re.fullmatch(expected, said.stderr), said.stderr
