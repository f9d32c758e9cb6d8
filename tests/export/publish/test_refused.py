"""Places that cannot be written or replaced: refused with the reason, and left as they were."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import sys
import threading
import time
from pathlib import Path

import pytest

from carve_export.publish import mounts
from carve_export.publish.claim import claim
from carve_models.aside import LOCK, aside_of
from carve_models.errors import ExportError
from tests.export.cli.commands import carve_export, failed
from tests.export.publish.places import alone
from tests.support import limited
from tools.checks.kills import Bundles

SMALL_FILE = 1 << 16  # bytes


def test_places_that_cannot_be_replaced(
    bundles: Bundles, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(target)
    refused = {link: r"link is a link\. Give the folder", Path("/proc"): r"mounted file system"}
    for place, message in refused.items():
        with pytest.raises(ExportError, match=message):
            bundles.export(1, place, overwrite=True)
    for folder, name in ((target, "."), (target / "onnx", ".."), (target, str(target))):
        monkeypatch.chdir(folder)
        with pytest.raises(ExportError, match="holds the current folder"):
            bundles.export(1, Path(name), overwrite=True)
    assert bundles.at(target) == 0
    assert alone(target)


READ_ONLY = {
    "above": (".", r"cannot be written: Permission denied \(.*\.bundle\.carve\)\. See that"),
    "itself": ("bundle", r"bundle is read-only\. Allow writing"),
    "below": ("bundle/onnx", r"onnx is read-only\. Allow writing"),
}


@pytest.mark.parametrize("name", READ_ONLY)
def test_read_only_folders(name: str, own_folder: Path) -> None:
    place, message = READ_ONLY[name]
    target = own_folder / "bundle"
    (target / "onnx").mkdir(parents=True)
    (target / "onnx" / "graph.onnx").write_bytes(b"graph")
    (own_folder / place).chmod(0o555)
    with pytest.raises(ExportError, match=message), claim(target, overwrite=True):
        pytest.fail("claimed")
    assert sorted(path.name for path in own_folder.rglob("*")) == ["bundle", "graph.onnx", "onnx"]


@pytest.mark.usefixtures("traced")
def test_a_full_disk_leaves_what_was_there(
    checkpoint: Path, bundles: Bundles, target: Path
) -> None:
    with limited(resource.RLIMIT_FSIZE, SMALL_FILE):  # refused as a full disk refuses
        result = carve_export(checkpoint, target, "--layers", "0,2", "--overwrite")
    failed(result, 1, r"bundle cannot be written: .*File too large.*\. See that its disk has room")
    assert bundles.at(target) == 0
    assert alone(target)


def refused_at_once(target: Path, message: str) -> None:
    with pytest.raises(ExportError, match=message), claim(target, overwrite=True):
        pytest.fail("claimed")


NO_PLACES = {
    "x\0": r"nothing can be written to .*x.x00': it has a NUL",
    "x\0/bundle": r"nothing can be written to .*null",
    "\ud800": r"nothing can be written to .*encode",
    "ring/bundle": r"ring.*(loop|symbolic links)",
    "x" * 250: r"cannot be written: File name too long",
    "file/bundle": r"cannot be written: Not a directory",
}


@pytest.mark.parametrize("name", NO_PLACES)
def test_paths_that_are_no_place(name: str, tmp_path: Path) -> None:
    (tmp_path / "ring").symlink_to("ring")
    (tmp_path / "file").touch()
    refused_at_once(tmp_path / name, NO_PLACES[name])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "ring"]


def test_a_place_under_a_closed_folder(own_folder: Path) -> None:
    (own_folder / "bundle").mkdir()
    own_folder.chmod(0)
    refused_at_once(own_folder / "bundle", r"cannot be written: Permission denied")


MOUNTS = {
    "itself": ("", r"bundle is a mounted file system\. Choose a folder in it"),
    "a folder": ("onnx", r"bundle holds a mounted file system, .*onnx\. Unmount that"),
    "a name with a blank": ("a b", r"bundle holds a mounted file system, .*a b\."),
}


@pytest.mark.parametrize("name", MOUNTS)
def test_mounts_of_the_same_device(
    name: str, bundles: Bundles, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below, message = MOUNTS[name]
    (target / below).mkdir(exist_ok=True)
    listed = str(target / below).replace("\\", "\\134").replace(" ", "\\040")
    lines = [f"25 1 254:1 / {path} rw shared:1 - ext4 /dev/vda rw\n" for path in ("/", listed)]
    (tmp_path / "mountinfo").write_text("".join(lines))
    monkeypatch.setattr(mounts, "_MOUNTS", tmp_path / "mountinfo")
    refused_at_once(target, message)
    assert bundles.at(target) == 0
    assert alone(target)


def test_mounts_of_another_device(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "onnx")
    refused_at_once(target, r"bundle holds a mounted file system, .*onnx")
    assert alone(target)


def test_what_came_with_a_containers_image(
    bundles: Bundles, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def move(path: Path, to: Path) -> Path:
        if path == target:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(path))
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", move)
    refused_at_once(target, r"bundle cannot be replaced in one step: .*overlayfs.*\. Remove it")
    assert bundles.at(target) == 0
    assert alone(target)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_file_systems_without_locks(
    code: int, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    refused_at_once(target, r"has no locks, .*\. Choose a folder on a local disk, and move it")
    assert alone(target)


@pytest.mark.parametrize("others", [False, True], ids=["open to others", "another user's"])
def test_a_folder_aside_that_is_not_this_users_alone(
    others: bool, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = aside_of(target)
    aside.mkdir(0o700 if others else 0o755)
    (aside / "theirs").mkdir()
    user = os.geteuid() + others
    monkeypatch.setattr(os, "geteuid", lambda: user)
    refused_at_once(target, r"carve is there and, as its file system says, .*\. See that no export")
    assert [path.name for path in aside.iterdir()] == ["theirs"]


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_is_aside_and_no_folder(kind: str, target: Path, tmp_path: Path) -> None:
    {"link": lambda path: path.symlink_to(tmp_path), "file": Path.touch}[kind](aside_of(target))
    refused_at_once(target, rf"\.bundle\.carve is a {kind}\. Remove it")


def test_an_export_waits_for_who_only_looks(target: Path) -> None:
    aside = aside_of(target)
    aside.mkdir(0o700)
    (aside / LOCK).touch()
    with (aside / LOCK).open("rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)

        def look() -> None:
            time.sleep(0.05)
            fcntl.flock(reader, fcntl.LOCK_UN)

        looking = threading.Thread(target=look)
        looking.start()
        with claim(target, overwrite=True):
            assert not looking.is_alive()
        looking.join()
    assert alone(target)


def test_nothing_stays_where_open_files_are_not_removed(
    bundles: Bundles, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with claim(target, overwrite=True):
        monkeypatch.setattr(sys, "platform", "win32")  # what ends a claim there
    assert alone(target)
