"""The load test in small: a real server, and answers that are compared."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import msgspec
from click.testing import CliRunner

from tools.bench.serve import cases, load, main
from tools.shared.report import Report
from tools.shared.server import serving

CLIENTS, REQUESTS = 8, 40


def test_no_answer_is_wrong(tmp_path: Path) -> None:
    size = ["--clients", CLIENTS, "--requests", REQUESTS, "--questions", 4]
    arguments = [*size, "--out", tmp_path]
    done = CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    report = msgspec.json.decode((tmp_path / "serve.json").read_bytes(), type=Report)
    measured = report.table("load")
    assert [measured.cell(row, "measured") for row in ("wrong answers", "failures")] == ["0", "0"]
    assert measured.cell("requests, distinct ones", "measured") == f"{REQUESTS}, 16"


def test_wrong_answers_and_failures_are_counted() -> None:
    (asked, *_) = cases(1)
    wrong = replace(asked, expected=["another", None, [0, 0, 1, 1]])
    refused = replace(asked, changes={"mask_top_p": 2})
    for case, expected in ((wrong, (3, 0)), (refused, (0, 3))):
        with serving("default") as (url, process):
            tally = asyncio.run(load(url, process.pid, [case], 2, 3))
        assert (len(tally.wrong), len(tally.failed)) == expected
