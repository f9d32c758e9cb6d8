"""Bundles that are replaced while they are read, or were left half replaced."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import pytest

from carve_models.aside import LOCK, OLD, abandoned, aside_of, lock
from carve_models.engines import ENGINES_FILE
from carve_models.errors import BundleError, CarveError
from carve_runtime import Carve
from carve_runtime.backends.tensorrt.plan import open_engines
from carve_runtime.bundle import Bundle, load_bundle, open_bundle
from tests.export.publish.places import alone
from tests.support import PHOTOS
from tools.checks.kills import Bundles


@pytest.mark.parametrize("locked", [False, True])
def test_a_reader_undoes_half_a_replacement(bundles: Bundles, target: Path, locked: bool) -> None:
    aside = aside_of(target)
    aside.mkdir(0o700)
    (aside / LOCK).touch()
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


def test_an_empty_folder_gives_way_to_what_was_replaced(bundles: Bundles, target: Path) -> None:
    aside = aside_of(target)
    for reads in (True, False):
        aside.mkdir(0o700)
        (aside / LOCK).touch()
        target.rename(aside / OLD)
        target.mkdir()
        if reads:
            assert bundles.at(target) == 0
        bundles.export(1, target, overwrite=True)
        assert bundles.at(target) == 1
        assert alone(target)
        bundles.export(0, target, overwrite=True)


#: Where a program is, below the bundle's folder, and how the bundle is called from there.
NAMES = {
    "a dot": (".", "."),
    "nothing": (".", ""),
    "above": ("onnx", ".."),
    "way": (".", "onnx/.."),
}


@pytest.mark.parametrize("name", NAMES)
def test_folders_without_a_name(
    name: str, bundles: Bundles, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, path = NAMES[name]
    monkeypatch.chdir(target / folder)
    assert open_bundle(Path(path)).manifest.source == "0"
    assert bundles.at(Path(path)) == 0


NO_BUNDLES = ["/", "x" * 250, "x" * 300, "x\0", "ring/bundle", "\ud800"]


@pytest.mark.parametrize("path", NO_BUNDLES)
def test_paths_that_are_no_bundle(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ring").symlink_to("ring")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CarveError, match="is not a bundle"):
        open_bundle(path)
    with pytest.raises(CarveError, match=ENGINES_FILE):
        open_engines(Path(path))


def test_what_a_user_may_not_see_is_nothing(own_folder: Path) -> None:
    aside = aside_of(own_folder / "bundle")
    aside.mkdir()
    (aside / LOCK).touch()
    aside.chmod(0)  # to whom another user's is closed
    assert abandoned(own_folder) == []
    with pytest.raises(BundleError, match="is not a bundle"):
        open_bundle(own_folder / "bundle")


def test_looking_for_what_was_left_makes_nothing(target: Path) -> None:
    aside = aside_of(target)
    (aside / OLD).mkdir(parents=True)
    assert abandoned(target.parent) == []
    with pytest.raises(BundleError):
        open_bundle(target.with_name("absent"))
    assert [path.name for path in aside.iterdir()] == [OLD]


def test_readers_do_not_keep_each_other_from_looking(target: Path) -> None:
    aside = aside_of(target)
    aside.mkdir()
    (aside / LOCK).touch()
    with (aside / LOCK).open("rb") as another:
        fcntl.flock(another, fcntl.LOCK_SH)
        assert abandoned(target.parent) == [aside]
