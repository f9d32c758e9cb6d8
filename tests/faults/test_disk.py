"""A disk that takes no more, and folders that nobody may write to, wherever the runtime writes.

The limit on the size of a file makes the system refuse a write at any byte, to root as well.
"""

from __future__ import annotations

import os
import resource
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from carve_runtime.bundle import open_bundle
from carve_runtime.verified import memory_file
from tests.runtime.cli.commands import ASK, carve_run, failed
from tests.support import POCKET, limited

#: Bytes that a file may have: none, a part of a picture's header, of its content.
LIMITS = (0, 20, 3000)
OLD = b"what was there"


def full_disk(size: int) -> AbstractContextManager[None]:
    """Refuse whatever makes a file larger than ``size`` bytes."""
    return limited(resource.RLIMIT_FSIZE, size)


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = memory_file()
    assert path is not None
    return path


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize("size", LIMITS)
def test_a_picture_is_written_whole_or_not_at_all(size: int, suffix: str, tmp_path: Path) -> None:
    picture = tmp_path / f"carve.{suffix}"
    picture.write_bytes(OLD)
    with full_disk(size):
        result = carve_run(*ASK, "--picture", picture)
    failed(result, 1, r"cannot be used: .*Check the path and the free space")
    assert picture.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [picture]


def test_every_picture(tmp_path: Path) -> None:
    with full_disk(LIMITS[-1]):
        result = carve_run(*ASK, "--save-dir", tmp_path / "out")
    failed(result, 1, r"cannot be used: .*Check the path and the free space")
    assert not [path for path in (tmp_path / "out").iterdir() if path.stat().st_size == LIMITS[-1]]


@pytest.mark.parametrize("size", [0, 40])
def test_sums_that_cannot_be_remembered_are_compared_again(size: int, memory: Path) -> None:
    """As docs/bundle.md says: nothing is remembered, and nothing else fails."""
    with full_disk(size):
        for _ in range(2):
            assert open_bundle(POCKET).manifest
    assert not list(memory.parent.iterdir())
    with full_disk(0):
        doctor = carve_run("doctor")
    assert not list(memory.parent.iterdir())
    assert doctor.exit_code == 0
    assert "cannot be written: sums are compared at every load" in doctor.output


def test_what_was_remembered_stays(memory: Path) -> None:
    open_bundle(POCKET)
    assert carve_run("doctor").exit_code == 0
    before = memory.read_bytes()
    with full_disk(0):
        open_bundle(POCKET, verify=True)
    assert memory.read_bytes() == before
    assert list(memory.parent.iterdir()) == [memory]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that takes no files")
@pytest.mark.parametrize("option", [("--picture", "a.png"), ("--save-dir", "out")])
def test_a_folder_that_takes_no_files(option: tuple[str, str]) -> None:
    """Not even root's, to whom the system says beforehand that all may be written."""
    flag, name = option
    result = carve_run(*ASK, flag, Path("/proc/self") / name)
    expected = 1 if os.access("/proc/self", os.W_OK) else 2
    failed(result, expected, r"cannot be (used|written): .*")
