"""Folders that are replaced: nothing lost, nothing mixed, nothing left; real files throughout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from carve_export.publish import claim as claims
from carve_export.publish import folders
from carve_export.publish.claim import claim
from carve_models.aside import LOCK, aside_of
from carve_models.errors import ExportError
from carve_models.manifest import read_manifest
from tests.export.publish.places import alone
from tests.support import ROOT
from tools.checks.kills import Bundles


def test_no_kill_and_no_race_loses_a_bundle() -> None:
    command = [sys.executable, "-m", "tools.checks.kills", "--rounds", "4"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = [int(count) for count in re.findall(r"operations (\d+)", done.stdout)]
    assert len(counts) == 2
    assert min(counts) > 48  # of one replacement, each way


@pytest.mark.skipif(sys.platform != "linux", reason="other systems rename three times")
def test_folders_change_places_at_once(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    (second / "below").mkdir(parents=True)
    assert folders._exchange_at_once(first, second)
    assert [path.name for path in tmp_path.rglob("*")].count("below") == 1
    assert (first / "below").is_dir()
    with pytest.raises(FileNotFoundError, match="absent"):
        folders._exchange_at_once(first, tmp_path / "absent")


@pytest.mark.usefixtures("each_way")
def test_what_no_manifest_lists_stays(bundles: Bundles, target: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "config.json").write_text("not of the bundle")
    private = target / "notes" / "private"
    private.mkdir(parents=True)
    private.parent.chmod(0o700)
    (private / "mine.txt").write_text("mine")
    (target / "empty").mkdir()
    (target / "link").symlink_to("../../outside")
    inode = (private / "mine.txt").stat().st_ino
    target.chmod(0o750)
    bundles.export(1, target, overwrite=True)
    assert bundles.at(target) == 1
    assert alone(target)
    assert (private / "mine.txt").read_text() == "mine"
    assert (private / "mine.txt").stat().st_ino == inode
    assert oct(private.parent.stat().st_mode)[-3:] == "700"
    assert oct(target.stat().st_mode)[-3:] == "750"
    assert (target / "empty").is_dir()
    assert (target / "link").readlink() == Path("../../outside")
    assert [path.read_text() for path in outside.iterdir()] == ["not of the bundle"]


def test_without_hard_links_files_are_copied(
    bundles: Bundles, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (target / "mine.txt").write_text("mine")

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with claim(target, overwrite=True) as claimed:
        shutil.copytree(bundles.number(1), claimed.folder, dirs_exist_ok=True)
        monkeypatch.setattr(os, "link", refuse)
        claimed.publish(read_manifest)
    assert (target / "mine.txt").read_text() == "mine"
    assert bundles.at(target) == 1


def test_a_linked_subfolder_is_not_followed(bundles: Bundles, target: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (target / "onnx").rename(elsewhere)
    (target / "onnx").symlink_to(elsewhere)
    before = sorted((path, path.stat().st_ino) for path in elsewhere.iterdir())
    bundles.export(1, target, overwrite=True)
    assert sorted((path, path.stat().st_ino) for path in elsewhere.iterdir()) == before
    assert not (target / "onnx").is_symlink()
    assert bundles.at(target) == 1


def test_a_place_is_claimed_by_one(bundles: Bundles, tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with claim(target, overwrite=False):
        for overwrite in (False, True):
            with (
                pytest.raises(ExportError, match=r"another export is writing to .*\. Let it end"),
                claim(target, overwrite=overwrite),
            ):
                pytest.fail("claimed twice")
        bundles.export(0, tmp_path / "other", overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_what_came_meanwhile_is_left_alone(bundles: Bundles, tmp_path: Path) -> None:
    target = tmp_path / "place" / "bundle"
    with claim(target, overwrite=False) as claimed:
        shutil.copytree(bundles.number(0), claimed.folder, dirs_exist_ok=True)
        target.mkdir()
        (target / "mine.txt").write_text("mine")
        with pytest.raises(ExportError, match="bundle is already there"):
            claimed.publish(read_manifest)
    assert [path.name for path in target.iterdir()] == ["mine.txt"]
    assert alone(target)


def test_what_comes_at_the_last_moment_is_left_alone(
    bundles: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "bundle"

    def come(folder: Path) -> None:
        target.mkdir()
        (target / "mine.txt").write_text("mine")

    monkeypatch.setattr(claims, "sync_folders", come)
    with pytest.raises(ExportError, match="not empty"):
        bundles.export(0, target, overwrite=False)
    assert [path.name for path in target.iterdir()] == ["mine.txt"]
    assert alone(target)


def test_what_a_killed_export_left_is_removed(bundles: Bundles, target: Path) -> None:
    left = aside_of(target) / "new" / "onnx"
    aside_of(target).mkdir(0o700)
    left.mkdir(parents=True)
    (left / "half.onnx").write_bytes(b"half")
    (aside_of(target) / LOCK).touch()
    with pytest.raises(ExportError, match="already there"):
        bundles.export(1, target, overwrite=False)
    assert left.is_dir()  # an export that is refused at once does nothing
    bundles.export(1, target, overwrite=True)
    assert alone(target)


def test_links_above_the_place_are_followed(bundles: Bundles, target: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(target.parent)
    bundles.export(1, tmp_path / "way" / target.name, overwrite=True)
    assert bundles.at(target) == 1
    assert alone(target)
