"""Folders that are replaced: nothing lost, nothing mixed, nothing left; real files throughout."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from carve_export import folders, staging
from carve_export.staging import claim
from carve_models.aside import LOCK, OLD, aside_of, lock
from carve_models.errors import BundleError, ExportError
from carve_models.manifest import read_manifest
from carve_runtime import Carve
from carve_runtime.bundle import Bundle, load_bundle, open_bundle
from tests.export.cli.commands import carve_export, failed
from tests.support import PHOTOS, ROOT
from tools.checks.kills import Bundles

NOBODY = 65534


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    return Bundles(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(params=[True, False], ids=["exchange", "three renames"])
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(folders, "_exchange_at_once", lambda first, second: False)


@pytest.fixture
def target(bundles: Bundles, tmp_path: Path) -> Path:
    """Return the place of bundle 0."""
    bundles.export(0, tmp_path / "place" / "bundle", overwrite=False)
    return tmp_path / "place" / "bundle"


def alone(target: Path) -> bool:
    return list(target.parent.iterdir()) == [target]


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


def test_a_failed_exchange_changes_nothing(
    bundles: Bundles, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_exchange_at_once", lambda first, second: False)
    rename = Path.rename

    def fail(path: Path, to: Path) -> Path:
        if path.name == "new":
            raise OSError(5, "Input/output error", str(path))
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(ExportError, match=r"Input/output error .*new\)\. See that its disk"):
        bundles.export(1, target, overwrite=True)
    assert bundles.at(target) == 0
    assert alone(target)


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

    monkeypatch.setattr(staging, "sync_folders", come)
    with pytest.raises(ExportError, match="not empty"):
        bundles.export(0, target, overwrite=False)
    assert [path.name for path in target.iterdir()] == ["mine.txt"]
    assert alone(target)


def test_what_a_killed_export_left_is_removed(bundles: Bundles, target: Path) -> None:
    left = aside_of(target) / "new" / "onnx"
    left.mkdir(parents=True)
    (left / "half.onnx").write_bytes(b"half")
    (aside_of(target) / LOCK).touch()
    with pytest.raises(ExportError, match="already there"):
        bundles.export(1, target, overwrite=False)
    assert left.is_dir()  # an export that is refused at once does nothing
    bundles.export(1, target, overwrite=True)
    assert alone(target)


@pytest.mark.parametrize("locked", [False, True])
def test_a_reader_undoes_half_a_replacement(bundles: Bundles, target: Path, locked: bool) -> None:
    aside = aside_of(target)
    aside.mkdir()
    target.rename(aside / OLD)
    stream = lock(aside) if locked else None
    if stream is None:
        assert open_bundle(target).manifest.source == "0"
        bundles.export(1, target, overwrite=True)
        assert alone(target)
        return
    with stream, pytest.raises(BundleError, match="is not a bundle"):  # its owner is at work
        open_bundle(target)
    assert (aside / OLD).is_dir()


@pytest.mark.usefixtures("each_way")
def test_a_bundle_that_is_replaced_while_it_loads_is_loaded_again(
    bundles: Bundles, target: Path
) -> None:
    seen: list[str] = []

    def load(bundle: Bundle) -> bytes:
        if not seen:
            bundles.export(1, target, overwrite=True)
        seen.append(bundle.manifest.source)
        return bundle.path("config.json").read_bytes()

    assert load_bundle(target, load) == (bundles.number(1) / "config.json").read_bytes()
    assert seen == ["0", "1"]


def test_a_bundle_that_is_always_replaced_is_refused(bundles: Bundles, target: Path) -> None:
    def load(bundle: Bundle) -> None:
        manifest = bundle.path("carve.json")
        shutil.copy(manifest, target / "again")
        (target / "again").rename(manifest)

    with pytest.raises(BundleError, match=r"replaced 100 times .*\. Let the exports end"):
        load_bundle(target, load)


def test_a_loaded_bundle_answers_after_it_was_replaced(bundles: Bundles, target: Path) -> None:
    vlm = Carve.load(target, image_cache_bytes=0)
    image, question = PHOTOS / "landscape.jpg", "What is this?"
    before = vlm.ask(image, question, max_new_tokens=2)
    bundles.export(1, target, overwrite=True)
    after = vlm.ask(image, question, max_new_tokens=2)
    assert (after.token_ids, after.bbox) == (before.token_ids, before.bbox)


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


def test_links_above_the_place_are_followed(bundles: Bundles, target: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(target.parent)
    bundles.export(1, tmp_path / "way" / target.name, overwrite=True)
    assert bundles.at(target) == 1
    assert alone(target)


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """Yield a folder of a user whom permissions bind, who runs the test."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        privileged = os.geteuid() == 0
        if privileged:
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            if privileged:
                os.seteuid(0)
            for path in [folder, *folder.rglob("*")]:
                path.chmod(0o755)


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


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let the system refuse files over 64 KiB, as a full disk refuses them."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("traced")
def test_a_full_disk_leaves_what_was_there(
    checkpoint: Path, bundles: Bundles, target: Path, small_files: None
) -> None:
    result = carve_export(checkpoint, target, "--layers", "0,2", "--overwrite")
    failed(result, 1, r"bundle cannot be written: .*File too large.*\. See that its disk has room")
    assert bundles.at(target) == 0
    assert alone(target)
