"""Renames that fail: what was at the place or what comes there is found, and nothing stays."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from carve_export.publish import folders
from carve_models.aside import OLD, aside_of
from carve_models.errors import ExportError
from tests.export.publish.places import alone
from tools.checks.kills import Bundles

Rename = Callable[[Path, Path], Path]

RENAME: Rename = Path.rename
#: The trial of whether a folder can be moved, then old to spare, new to its place, old away.
RENAMES = range(1, 5)


def refuse(path: Path, to: Path) -> Path:
    raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))


def do_but_refuse(path: Path, to: Path) -> Path:
    """Do it, and fail as NFS does when the first of two answers is lost."""
    RENAME(path, to)
    return refuse(path, to)


def do_but_interrupt(path: Path, to: Path) -> Path:
    RENAME(path, to)
    raise KeyboardInterrupt


def interrupt(path: Path, to: Path) -> Path:
    raise KeyboardInterrupt


FAULTS = [refuse, do_but_refuse, interrupt, do_but_interrupt]


def fail(bundles: Bundles, target: Path, first: int, fault: Rename, last: int) -> int:
    """Replace bundle 0 by 1, and let renames from the first to the last of them fail.

    Returns:
        The renames that were tried.
    """
    tried = 0

    def rename(path: Path, to: Path) -> Path:
        nonlocal tried
        tried += 1
        return (fault if first <= tried <= last else RENAME)(path, to)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders, "_exchange_at_once", lambda first, second: False)
        patch.setattr(Path, "rename", rename)
        with suppress(ExportError, KeyboardInterrupt):
            bundles.export(1, target, overwrite=True)
    return tried


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("last", [0, 100], ids=["one", "all others"])
@pytest.mark.parametrize("number", RENAMES)
def test_no_failed_rename_loses_a_bundle(
    number: int, last: int, fault: Rename, bundles: Bundles, target: Path
) -> None:
    (target / "mine.txt").write_text("mine")
    assert fail(bundles, target, number, fault, number + last) >= number
    assert bundles.at(target) in (0, 1)
    assert (target / "mine.txt").read_text() == "mine"
    bundles.export(0, target, overwrite=True)
    assert bundles.at(target) == 0
    assert (target / "mine.txt").read_text() == "mine"
    assert alone(target)


@pytest.mark.parametrize(
    ("number", "fault", "found"),
    [(2, refuse, 0), (2, do_but_refuse, 1), (3, refuse, 0), (3, do_but_refuse, 1), (4, refuse, 1)],
)
def test_one_failed_rename_leaves_nothing(
    number: int, fault: Rename, found: int, bundles: Bundles, target: Path
) -> None:
    fail(bundles, target, number, fault, number)
    assert bundles.at(target) == found
    assert alone(target)


def test_one_failed_rename_is_undone_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, spare = (tmp_path / name for name in ("first", "second", "spare"))
    (first / "below").mkdir(parents=True)
    second.mkdir()

    def rename(path: Path, to: Path) -> Path:
        return (refuse if path == second else RENAME)(path, to)

    monkeypatch.setattr(folders, "_exchange_at_once", lambda first, second: False)
    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="Input/output error"):
        folders.exchange(first, second, spare)
    assert (first / "below").is_dir()
    assert not spare.exists()


def test_the_only_copy_stays_until_it_can_be_put_back(bundles: Bundles, target: Path) -> None:
    fail(bundles, target, 3, refuse, 100)
    assert [path.name for path in target.parent.iterdir()] == [aside_of(target).name]
    assert bundles.at(aside_of(target) / OLD) == 0
    target.mkdir()
    fail(bundles, target, 1, refuse, 100)
    assert bundles.at(target) == 0
    bundles.export(1, target, overwrite=True)
    assert alone(target)


def test_a_failed_rename_is_told(
    bundles: Bundles, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(path: Path, to: Path) -> Path:
        return (refuse if path.name == "new" else RENAME)(path, to)

    monkeypatch.setattr(folders, "_exchange_at_once", lambda first, second: False)
    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(ExportError, match=r"Input/output error .*new\)\. See that its disk"):
        bundles.export(1, target, overwrite=True)
    assert bundles.at(target) == 0
    assert alone(target)
