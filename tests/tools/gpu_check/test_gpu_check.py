"""The check runs on a CPU, with narrow models: its weights, its comparisons, what it says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from carve_eval.reporting.tables import Table, open_console
from carve_models.errors import BundleError
from tests.conftest import Once
from tools.gpu_check.__main__ import check, main, sections
from tools.gpu_check.bench import Bench, Section
from tools.gpu_check.device import Device, describe_machine, find_device
from tools.gpu_check.empty import empty_model
from tools.gpu_check.plan import Place, Plan, read_plan
from tools.gpu_check.prepare import prepare_models
from tools.gpu_check.reach import reached
from tools.gpu_check.report import Results
from tools.gpu_check.sections.parity import relative_error
from tools.gpu_check.sections.protocol import protocol_table
from tools.gpu_check.weights import fill, random_values
from tools.shared.report import Report

NAME = "llava-1.5-7b"
SMALL = 1.0  # percent: float16 explains a tenth of it at this depth


@pytest.fixture(scope="module")
def prepared(once: Once[Path], one_thread: None) -> Path:
    def make(folder: Path) -> Path:
        prepare_models(folder, [NAME], depth=2, is_narrow=True)
        return folder

    return once("gpu-check", make)


def test_a_prepared_model_has_no_weights(prepared: Path) -> None:
    folder = prepared / NAME
    plan = read_plan(folder)
    assert not list(folder.rglob("*.onnx_data"))
    assert sum(path.stat().st_size for path in folder.rglob("*")) < plan.nbytes / 4
    ends: dict[str, int] = {}
    for place in plan.places:  # one behind the other
        assert place.offset >= ends.get(place.file, 0)
        ends[place.file] = place.offset + 2 * int(np.prod(place.shape))
    assert all(plan.sizes[file] >= end for file, end in ends.items())


def test_from_end_to_end(prepared: Path, tmp_path: Path) -> None:
    """Both sides have the same weights: float16 alone explains the errors."""
    only = ("weights", "decoder", "int4", "error")
    options = [part for name in only for part in ("--only", f"{NAME}: {name}")]
    arguments = ["--prepared", str(prepared), "--out", str(tmp_path), *options]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    report = msgspec.json.decode((tmp_path / "gpu.json").read_bytes(), type=Report)
    assert (tmp_path / "gpu.md").read_text() == report.markdown()
    outcomes = [row[:2] for row in report.table("sections").rows]
    assert outcomes == [[f"{NAME}: {name}", "done"] for name in only]
    error = report.table(f"parity {NAME}")
    for output in ("logits", "attention rows"):
        ours, theirs = (float(str(error.cell(output, column))) for column in error.columns[1:])
        assert 0 < ours < SMALL
        assert 0 < theirs < SMALL
    times = report.table(f"decoder {NAME}")
    assert all(float(str(cell)) > 0 for row in times.rows for cell in row[1:])
    assert len(report.table(f"int4 {NAME}").rows) == len(times.rows)
    if not find_device().is_gpu:
        assert "no NVIDIA GPU" in done.output


def test_weights_depend_on_their_names_alone() -> None:
    shape = torch.empty(64, 32, dtype=torch.float16)
    left, right = (random_values(name, shape, "cpu") for name in ("a.weight", "b.weight"))
    assert torch.equal(left, random_values("a.weight", shape, "cpu"))
    assert not torch.equal(left, right)
    norm, bias = (random_values(name, shape[0], "cpu") for name in ("n.weight", "n.bias"))
    assert 0.9 < float(norm.min()) < float(norm.max()) < 1.1
    assert float(bias.abs().max()) < 0.1


def test_files_and_model_get_the_same_weights(prepared: Path, tmp_path: Path) -> None:
    """As they are, and transposed."""
    model = empty_model(prepared / NAME, torch.float16, "eager")
    name = "model.language_model.layers.0.mlp.up_proj.weight"
    shape = tuple(model.get_parameter(name).shape)
    numbers = int(np.prod(shape))
    places = (
        Place(name, "data", 0, shape),
        Place(name, "data", 2 * numbers, shape, transposed=True),
    )
    fill(Plan("float16", places, {"data": 4 * numbers}), tmp_path, model, "cpu")
    plain, transposed = np.fromfile(tmp_path / "data", np.float16).reshape(2, numbers)
    matrix = model.get_parameter(name).numpy()
    assert np.array_equal(plain.reshape(shape), matrix)
    assert np.array_equal(transposed.reshape(shape[::-1]), matrix.T)


@pytest.mark.parametrize(
    ("name", "shape", "says"),
    [
        ("nothing.weight", (1, 1), "has no nothing.weight"),
        ("lm_head.weight", (1, 1), r"lm_head.weight is \(1, 1\) in the bundle"),
    ],
)
def test_weights_that_do_not_fit(
    prepared: Path, tmp_path: Path, name: str, shape: tuple[int, ...], says: str
) -> None:
    model = empty_model(prepared / NAME, torch.float16, "eager")
    plan = Plan("float16", (Place(name, "data", 0, shape),), {"data": 2})
    with pytest.raises(BundleError, match=says):
        fill(plan, tmp_path, model, "cpu")


def test_a_folder_that_is_not_prepared(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"weights.json is missing.*gpu_check.prepare"):
        read_plan(tmp_path)


def test_a_section_that_fails_or_comes_too_late_is_named(tmp_path: Path) -> None:
    device = Device("cpu", "cpu", "a CPU")
    bench = Bench(tmp_path, tmp_path, device, rounds=1, warm=0, general_steps=())

    def fails(_: Bench) -> Sequence[Table]:
        raise ValueError("no such thing\nand more")

    chosen = [
        Section("fails", fails),
        Section("works", lambda _: [Table("t", "T", ("a", "b"), [("c", 1)])]),
        Section("late", fails, least=1e9),
    ]
    results = Results(describe_machine(device), False, tmp_path, open_console())
    check(bench, results, chosen, budget=1e6)
    report = msgspec.json.decode((tmp_path / "gpu.json").read_bytes(), type=Report)
    outcomes = [str(row[1]) for row in report.table("sections").rows]
    assert outcomes[:2] == ["failed: ValueError: no such thing", "done"]
    assert outcomes[2].startswith("skipped, ")
    assert report.table("t").cell("c", "b") == 1
    assert "no such thing" in (tmp_path / "fails-error.txt").read_text()


def test_the_order_is_that_of_importance(prepared: Path) -> None:
    names = [section.name for section in sections(prepared)]
    assert names[0] == f"{NAME}: weights"
    assert names.index("pocket") < names.index("protocol")
    assert names[-1] == f"{NAME}: torch.compile"
    assert f"{NAME}: released code" in names


def test_the_error_is_relative() -> None:
    exact = [np.array([3, 4], np.float32), np.array([0, 2], np.float32)]
    actual = [np.array([3, 5], np.float32), np.array([0, 2], np.float32)]
    assert relative_error(actual, exact) == pytest.approx(0.2 / 2**0.5)
    assert relative_error(exact, exact) == 0


def test_the_protocols_table(tmp_path: Path) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(
        '<testsuites><testsuite tests="4" failures="1" errors="0" skipped="1">'
        '<testcase name="good"/><testcase name="also"/><testcase name="left"><skipped/></testcase>'
        '<testcase name="bad"><failure/></testcase></testsuite></testsuites>'
    )
    (row,) = protocol_table(report, "cpu").rows
    assert list(row[1:]) == [2, 1, 1, "bad"]


def test_what_is_reached() -> None:
    columns = ("what", "this runtime", "the faster of the others / this runtime")
    tables = [
        Table(f"decoder {NAME}", "", columns, [("one token", "7.60", "2.00")]),
        Table(f"answers {NAME}", "", columns, [("plain answer", "50.00", "1.60")]),
        Table(
            f"parity {NAME}",
            "",
            ("error, %", "this runtime, float16", "transformers, float16"),
            [("logits", "0.880", "1.140")],
        ),
    ]
    (table,) = reached(tables)
    assert table.rows == [
        ("one token, ms", "7.60", "≤ 7.5", "no"),
        ("plain answer, times as fast", "1.60", "≥ 1.6", "yes"),
        ("error of logits, %", "0.880", "≤ 1.14", "yes"),
    ]
    assert not reached([])
