"""The benchmark's own arithmetic, and one line of it from end to end. No time is judged."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pytest
import torch
from click.testing import CliRunner

from carve_export.trace.attention import KeyMask, LayerInput, last_row
from carve_runtime import Carve
from tests.comparing import assert_close
from tools.bench import attention, batch
from tools.bench.__main__ import main
from tools.bench.context import Context
from tools.bench.lines import released
from tools.bench.subjects import pocket
from tools.bench.torch_model import TorchModel
from tools.shared.figures import Figure, SpeedReport, tabulate
from tools.shared.timing import interleave, ratio, spread


def test_every_round_runs_every_way() -> None:
    runs: list[str] = []
    ways = {name: lambda n=name: runs.append(n) for name in "abc"}
    seconds = interleave(ways, rounds=5, warm=2)
    assert {name: len(values) for name, values in seconds.items()} == dict.fromkeys("abc", 5)
    assert runs[:6] == list("abcabc")
    for start in range(6, len(runs), 3):
        assert sorted(runs[start : start + 3]) == list("abc")


def test_ratios_are_taken_round_by_round() -> None:
    actual = ratio([2.0, 40.0, 6.0], [1.0, 10.0, 3.0])
    assert (actual.low, actual.median, actual.high) == (2.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("value", "reach", "at_least", "reached"),
    [
        (1.0, 1.1, False, True),
        (1.2, 1.1, False, False),
        (1.1, 1.1, False, True),
        (20.0, 15.0, True, True),
        (14.0, 15.0, True, False),
        (15.0, 15.0, True, True),
        (1.0, None, False, None),
    ],
)
def test_reached(value: float, reach: float | None, at_least: bool, reached: bool | None) -> None:
    figure = Figure("line", "what", spread([value]), reach=reach, at_least=at_least)
    assert figure.reached is reached
    assert Figure("line", "what", None, reach=reach).reached is None


def test_one_line_from_end_to_end(tmp_path: Path) -> None:
    arguments = ["--quick", "--only", "refine", "--out", str(tmp_path)]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    report = msgspec.json.decode((tmp_path / "figures.json").read_bytes(), type=SpeedReport)
    assert report.machine.cores
    assert [figure.value.median > 0 for figure in report.figures if figure.value] == [True, True]
    assert (tmp_path / "figures.md").read_text() == tabulate(report.figures).markdown()


def test_a_batch_from_end_to_end() -> None:
    done = CliRunner().invoke(batch.main, ["--quick"], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout.count("pocket, 640 x 640") == 3
    assert CliRunner().invoke(batch.main, ["--quick", "--write"]).exit_code == 2


def test_attention_from_end_to_end() -> None:
    done = CliRunner().invoke(attention.main, ["--quick"], catch_exceptions=False)
    assert done.exit_code == 0
    # 2 layers, 4 bytes: 600 positions to 600, 20 to 620, 1 to 601.
    (row,) = [line for line in done.stdout.splitlines() if "all layers" in line]
    prefill, _, question, token = re.findall(r"[\d.]+ [kM]B", row)
    assert (prefill, question, token) == ("2.9 MB", "99 kB", "5 kB")
    assert CliRunner().invoke(attention.main, ["--quick", "--write"]).exit_code == 2


def test_every_row_ends_with_the_last() -> None:
    """What is measured is attention: grouped heads, causal, behind a past."""
    random = torch.Generator().manual_seed(0)
    states = partial(torch.randn, generator=random)
    past, new, key = 3, 4, states(2, 2, 7, 8)
    layer = LayerInput(
        query=states(2, 6, new, 8),
        key=key[:, :, past:],
        value=key[:, :, past:],
        past=(key[:, :, :past], key[:, :, :past]),
        mask=KeyMask(torch.ones(2, past + new), new),
        scale=0.5,
    )
    rows = attention.every_row(layer, key, "mean")
    assert rows.shape == (2, new, past + new)
    assert_close(rows[:, -1].numpy(), last_row(layer, key, "mean").numpy(), atol=1e-6)
    assert_close(rows.triu(past + 1).numpy(), 0)
    earlier = replace(layer, query=layer.query[:, :, :1], mask=KeyMask(torch.ones(2, past + 1), 1))
    first = last_row(earlier, key[:, :, : past + 1], "mean")
    assert_close(rows[:, 0, : past + 1].numpy(), first.numpy(), atol=1e-6)


def test_the_released_code_runs_with_a_general_pass_of_both_lengths(tmp_path: Path) -> None:
    context = Context(tmp_path, rounds=1, quick=True)
    figures = {(figure.line, figure.what): figure for figure in released.measure(context)}
    cases = {re.sub(r"\d$", "", what) for _, what in figures}
    general = "pocket, 3 tokens, general pass"
    assert cases == {f"{general} of natural length, ", f"{general} forced to "}
    assert len(figures) == 4
    assert all(figure.value and figure.value.median > 0 for figure in figures.values())


def test_the_natural_length_ends_where_the_model_does() -> None:
    subject = pocket()
    model = TorchModel(subject, attention="eager")
    steps = model.natural_length([subject.image], subject.question, limit=32)
    answer = Carve.load().plain(subject.image, subject.question)
    assert steps == len(answer.token_ids) + 1
    assert model.natural_length([subject.image], subject.question, limit=1) == 1


def test_the_table_says_what_is_missed() -> None:
    figures = [
        Figure("fast", "a", spread([1.0]), reach=1.1),
        Figure("slow", "b", spread([1.2]), reach=1.1),
        Figure("absent", "c", None, note="not measured: no GPU"),
    ]
    assert tabulate(figures).rows == [
        ("fast: a", "1 x (1 .. 1)", "≤ 1.1"),
        ("slow: b", "1.2 x (1.2 .. 1.2)", "≤ 1.1, missed"),
        ("absent: c", "not measured: no GPU", ""),
    ]
    assert tabulate(figures[2:]).columns == ("what", "measured")
