"""libcarve measures a change as Python does, and its example asks about the same frames."""

from __future__ import annotations

import ctypes as c
import math
import subprocess
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from carve_runtime import Carve, WatchSettings, load_image
from tests.consumers.building import edited, refused
from tests.consumers.c import libcarve
from tests.consumers.c.libcarve import Library, image_over
from tests.consumers.changes import CLOSE, Changed
from tests.runtime.watch.camera import Recording, record
from tests.support import POCKET

#: Frames of the recording, two of its states.
FEW = 4


def test_the_same_changes_as_python(library: Library, changes: list[Changed]) -> None:
    for bundle, cases in groupby(changes, key=lambda case: case.bundle):
        model = library.open(bundle)
        for case in cases:
            view = library.look(model, load_image(case.before), scout_pixels=case.scout_pixels)
            for _ in range(2):  # what is seen of the view is kept
                change = library.change(view, load_image(case.after))
                assert change == pytest.approx(case.change, abs=CLOSE)
            assert library.change(view, load_image(case.before)) == 0
            library.c.carve_view_free(view)
        library.c.carve_model_free(model)


def test_what_is_refused(library: Library, view: c.c_void_p) -> None:
    picture = np.zeros((640, 640, 3), np.uint8)
    image, change = image_over(picture), c.c_double()
    with refused(libcarve.INVALID, "The change's address is NULL"):
        library.call("change", view, c.byref(image), None)
    with refused(libcarve.INVALID, "The view is NULL"):
        library.call("change", None, c.byref(image), c.byref(change))
    with refused(libcarve.INVALID, "The image is NULL"):
        library.call("change", view, None, c.byref(change))
    with refused(libcarve.IMAGE, "The image is 1 x 640"):
        library.change(view, picture[:, :1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"std": [0.5, 0.5]}, "std"),
        ({"std": [0.5, 0, 0.5]}, "std"),
        ({"std": "half"}, "std"),
        ({"rescale_factor": 0}, "rescale_factor is 0"),
        ({"rescale_factor": "one"}, "rescale_factor"),
    ],
)
def test_damaged_rules(
    changes: dict[str, object], message: str, library: Library, tmp_path: Path
) -> None:
    bundle = edited(tmp_path / "bundle", "carve.json", lambda m: m["image"].update(changes))
    with refused(libcarve.BUNDLE, message):
        library.open(bundle)


def test_what_a_rule_may_leave_out(library: Library, tmp_path: Path) -> None:
    """Bytes are then divided by 255 alone: a deviation of 0.27 had made the difference smaller."""

    def forget(manifest: dict[str, dict[str, object]]) -> None:
        manifest["image"]["std"] = None
        del manifest["image"]["rescale_factor"]

    bundle = edited(tmp_path / "bundle", "carve.json", forget)
    model = library.open(bundle)
    view = library.look(model, np.zeros((30, 30, 3), np.uint8))
    change = library.change(view, np.full((30, 30, 3), 27, np.uint8))
    assert change == pytest.approx(100, 1e-5)
    library.c.carve_view_free(view)
    library.c.carve_model_free(model)


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record()


def piped(recording: Recording, count: int | None = None) -> bytes:
    """Return the first frames as FFmpeg sends them."""
    height, width = recording.frames[0].shape[:2]
    header = f"P6 {width} {height} 255\n".encode()
    return b"".join(header + frame.tobytes() for frame in recording.frames[:count])


def test_the_camera_loop(
    installed: Path, pocket: Carve, recording: Recording, tmp_path: Path
) -> None:
    """The example asks about the frames that Python asks about, and prints Python's answers."""
    least = WatchSettings().min_change
    expected = [
        (str(seen.index), seen.answers[0], ",".join(map(str, seen.results[0].bbox)))
        for seen in pocket.watch(recording.frames, recording.question)
        if seen.asked
    ]
    options = ("--min-change", str(least))
    command = [str(installed / "carve_frames"), *options, str(POCKET), recording.question]
    done = subprocess.run(command, input=piped(recording), capture_output=True, check=True)
    assert [tuple(line.split("\t")) for line in done.stdout.decode().splitlines()] == expected
    for index, frame in enumerate(recording.frames[:FEW]):
        Image.fromarray(frame).save(tmp_path / f"{index:02}.png")
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, check=True)
    assert [line.split(b"\t")[0] for line in done.stdout.splitlines()] == [b"00.png", b"03.png"]


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (("--min-seconds", "3600"), 1),
        (("--min-change", "1e9"), 1),
        (("--min-change", "1e9", "--min-seconds", "0"), 1),
        ((), FEW),
    ],
)
def test_settings_of_the_camera_loop(
    options: tuple[str, ...], asked: int, installed: Path, recording: Recording
) -> None:
    command = [str(installed / "carve_frames"), *options, str(POCKET), recording.question]
    done = subprocess.run(command, input=piped(recording, FEW), capture_output=True, check=True)
    assert len(done.stdout.splitlines()) == asked


@pytest.mark.parametrize(
    "arguments",
    [("--min-change",), ("--min-change", "much"), ("--min-seconds", "-1"), ("--colour", "1")],
)
def test_options_that_are_refused(arguments: tuple[str, ...], installed: Path) -> None:
    command = [str(installed / "carve_frames"), str(POCKET), "What is it?", *arguments]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, b"usage: " in done.stderr) == (2, True)


def test_pictures_of_two_sizes(library: Library, view: c.c_void_p) -> None:
    assert library.change(view, np.zeros((8, 8, 3), np.uint8)) == math.inf
