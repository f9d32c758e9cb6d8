"""A real cluster of this machine's cores: a killed actor, a picture that cannot be used, files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from carve_runtime import Carve, CarveResult
from carve_runtime.usage import STAGES
from tests.runtime.cli.commands import QUESTION, carve_run
from tests.support import SCENES

PICTURES, QUESTIONS = 40, 5  # and questions about one picture that follow each other
BROKEN, EMPTY = 7, 9  # the records without a picture, and without a question
LONGEST = 300  # seconds; it takes 20


def processes_below(parent: int) -> dict[int, str]:
    """Return the title of every process that a process has started, itself or through others."""
    parents, titles = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text()
            titles[int(folder.name)] = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:  # it has ended meanwhile
            continue
        parents[int(folder.name)] = int(status.rpartition(")")[2].split()[1])

    def is_below(process: int) -> bool:
        above = parents.get(process, 0)
        return above == parent or (above > 1 and is_below(above))

    return {process: title for process, title in titles.items() if is_below(process)}


def kill_a_busy_actor(run: subprocess.Popen[str]) -> int:
    """Kill an actor in the middle of a batch; return its process."""
    until = time.monotonic() + LONGEST
    while time.monotonic() < until and run.poll() is None:
        for process, title in processes_below(run.pid).items():
            if title.startswith("ray::MapWorker(MapBatches(CarveActor)).submit"):
                os.kill(process, signal.SIGKILL)
                return process
        time.sleep(0.01)
    run.kill()
    raise AssertionError(f"no actor was ever busy: {run.communicate()[1]}")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found in /proc")
def test_every_record_is_answered_once_though_an_actor_is_killed(
    pocket: Carve, tmp_path: Path
) -> None:
    records = []
    for i in range(PICTURES):
        scene = f"scene-0{i // QUESTIONS % 8}.jpg"
        records.append({"id": i, "image": scene, "question": QUESTION})
    records[BROKEN]["image"], records[EMPTY]["question"] = "gone.jpg", ""
    shutil.copytree(SCENES, tmp_path / "in", ignore=shutil.ignore_patterns("*.json*", "*.md"))
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "in" / "questions.jsonl").write_text(lines)
    out = tmp_path / "out"
    line = ["ray", "default", str(tmp_path / "in"), "-o", str(out), "--batch-size", str(QUESTIONS)]
    with subprocess.Popen(
        [Path(sys.executable).parent / "carve-run", *line],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        killed = kill_a_busy_actor(run)
        below = processes_below(run.pid)
        stdout, stderr = run.communicate(timeout=LONGEST)
    assert run.returncode == 0, stderr
    assert stdout.endswith(f"saved  {out}\n")  # before it, what Ray says of the dead actor
    assert killed not in processes_below(run.pid)
    left = [title for process in below if (title := title_of(process)).startswith("ray")]
    assert not left, left
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    rows = sorted(pq.read_table(out).to_pylist(), key=lambda row: row["id"])
    assert [row["id"] for row in rows] == list(range(PICTURES))
    wanted: dict[str, CarveResult] = {}
    for row, record in zip(rows, records, strict=True):
        assert (row["image"], row["question"]) == (record["image"], record["question"])
        if row["id"] in (BROKEN, EMPTY):
            assert row["answer"] is row["bbox"] is None
            continue
        assert row["error"] is None
        if row["image"] not in wanted:
            wanted[row["image"]] = pocket.ask(SCENES / row["image"], QUESTION)
        result = wanted[row["image"]]
        assert (row["answer"], tuple(row["bbox"])) == (result.answer, result.bbox)
        assert set(row["timings"]) == set(STAGES)
    assert "gone.jpg" in rows[BROKEN]["error"]
    assert "question is empty" in rows[EMPTY]["error"]


def title_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def test_an_error_in_the_middle_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    good = json.dumps({"image": str(SCENES / "scene-00.jpg"), "question": QUESTION})
    (tmp_path / "questions.jsonl").write_text(f"{good}\n{good[:-9]}\n")
    result = carve_run("ray", "default", tmp_path / "questions.jsonl", "-o", tmp_path / "out")
    assert result.exit_code == 1
    *_, last = result.stderr.splitlines()  # behind what Ray says
    assert last.startswith("Error: the cluster gave up: Unmatched")
    assert [path.name for path in tmp_path.iterdir()] == ["questions.jsonl"]
