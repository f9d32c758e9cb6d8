"""Streams: which frames are asked about, what that costs, and what goes wrong in one."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Iterator
from itertools import chain, count, islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from carve_models.errors import (
    CarveError,
    ImageError,
    PromptError,
    RunError,
    SettingsError,
    VideoError,
)
from carve_runtime import Carve, Video, Watched, WatchSettings
from carve_runtime.decoder.model import Model
from tests.runtime.cli.commands import carve_run, failed
from tests.runtime.video.clips import write_clip
from tests.runtime.watch.camera import Recording, record

#: As few steps as there are, where answers do not matter.
BRIEFLY: dict[str, Any] = {"max_new_tokens": 1}
RGB = NDArray[np.uint8]


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record()


def grey(level: int) -> RGB:
    return np.full((48, 64, 3), level, np.uint8)


def asked(frames: Any) -> list[int]:
    return [frame.index for frame in frames if frame.asked]


def test_answers_follow_the_picture(pocket: Carve, recording: Recording) -> None:
    """Noise is not asked about; an object that comes, moves, and then says something else is."""
    seen = list(pocket.watch(recording.frames, recording.question))
    assert [frame.index for frame in seen] == list(range(len(recording.frames)))
    assert tuple(asked(seen)) == recording.changed
    for start, text in zip(recording.changed, recording.texts, strict=True):
        alone = pocket.ask(recording.frames[start], recording.question)
        (result,) = seen[start].results
        assert (result.answer, result.bbox) == (alone.answer, alone.bbox)
        assert result.counts == alone.counts
        if text is not None:
            assert seen[start].answers == (text,)
        for unchanged in seen[start + 1 : start + 3]:
            assert unchanged.results[0] is result
            assert unchanged.change is not None
            assert unchanged.change < 2
    assert seen[0].change is None


def test_questions_share_a_frame(pocket: Carve, recording: Recording) -> None:
    """The image is encoded once, and the general pass runs once; each refined image is its own."""
    questions = [recording.question, "What letter is on the red circle?"]
    frame, again = islice(pocket.watch(recording.frames[3:5], questions), 2)
    first, second = (result.counts for result in frame.results)
    assert (first.vision_runs, second.vision_runs) == (2, 1)
    with pocket.open(recording.frames[3]) as session:
        session.ask(recording.question)
        assert second == session.ask(questions[1]).counts
    assert not again.asked
    assert again.answers == frame.answers


def test_more_questions_about_the_frame_that_stands(pocket: Carve, recording: Recording) -> None:
    with pocket.watch(recording.frames[3:5], recording.question) as stream:
        assert stream.session is None
        list(stream)
        assert stream.session is not None
        more = stream.session.ask(recording.question)
        assert more.answer == "U"
        assert more.counts.vision_runs == 1  # of the refined image
    assert stream.session is None


def test_slow_drift_adds_up(pocket: Carve) -> None:
    frames = (grey(level) for level in range(100, 150, 7))
    assert asked(pocket.watch(frames, "What is it?", **BRIEFLY)) == [0, 3, 6]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"min_change": 0.0}, [0, 1, 2, 3]),
        ({"min_change": 19.5}, [0, 3]),
        ({"min_change": 300.0}, [0]),
        ({"min_change": 0.0, "min_seconds": 2.0}, [0, 2]),
        ({"min_change": 0.0, "min_seconds": 100.0}, [0]),
    ],
)
def test_settings(settings: dict[str, float], expected: list[int], pocket: Carve) -> None:
    frames = [(float(second), grey(level)) for second, level in enumerate((0, 0, 10, 20))]
    stream = pocket.watch(
        frames, "What is it?", watch_settings=WatchSettings(**settings), **BRIEFLY
    )
    assert asked(stream) == expected


def test_a_change_that_came_too_early_is_asked_about_later(pocket: Carve) -> None:
    frames = zip([0, 0.5, 0.9, 1.5, 1.6], map(grey, [0, 90, 90, 90, 0]), strict=True)
    settings = WatchSettings(min_seconds=1)
    seen = list(pocket.watch(frames, "What is it?", watch_settings=settings, **BRIEFLY))
    assert asked(seen) == [0, 3]
    assert [frame.seconds for frame in seen] == [0, 0.5, 0.9, 1.5, 1.6]
    changes = [frame.change for frame in seen]
    assert changes == [None, None, None, pytest.approx(90, 1e-5), None]  # nothing was measured


def test_a_rate_that_is_the_least_distance(pocket: Carve) -> None:
    """0.3 - 0.2 is less than 0.1, in floating point."""
    settings = WatchSettings(min_change=0, min_seconds=0.1)
    frames = Video([grey(0)] * 6, fps=10)
    stream = pocket.watch(frames, "What is it?", watch_settings=settings, **BRIEFLY)
    assert asked(stream) == [0, 1, 2, 3, 4, 5]


def test_frames_without_times_are_timed_when_they_come(pocket: Carve) -> None:
    settings = WatchSettings(min_seconds=3600)
    frames = map(grey, (0, 100, 200))
    seen = list(pocket.watch(frames, "What is it?", watch_settings=settings, **BRIEFLY))
    assert asked(seen) == [0]
    seconds = [frame.seconds for frame in seen]
    assert seconds[0] == 0 < seconds[1] <= seconds[2] < 3600


def test_an_endless_stream_is_pulled_frame_by_frame(pocket: Carve) -> None:
    pulled, closed = [], []

    def camera() -> Iterator[RGB]:
        try:
            for number in count():
                pulled.append(number)
                yield grey(0)
        finally:
            closed.append(True)

    frames = camera()
    with pocket.watch(frames, "What is it?", **BRIEFLY) as stream:
        assert not pulled
        assert len(list(islice(stream, 7))) == len(pulled) == 7
        assert not closed
    assert closed
    assert list(stream) == []
    assert len(pulled) == 7


def test_a_broken_frame_is_named_and_the_stream_goes_on(pocket: Carve, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    stream = pocket.watch([grey(0), broken, grey(0), grey(99)], "What is it?", **BRIEFLY)
    assert next(stream).asked
    with pytest.raises(ImageError, match=r"^frame 1: .*broken.png is not an image") as caught:
        next(stream)
    assert caught.value.remedy == "give a JPEG, PNG or similar file"
    assert [(frame.index, frame.asked) for frame in stream] == [(2, False), (3, True)]


def test_a_frame_whose_question_fails_leaves_no_answer(
    pocket: Carve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RunError("no memory", "close something")

    stream = pocket.watch([grey(0), grey(99), grey(99)], "What is it?", **BRIEFLY)
    first = next(stream)
    with monkeypatch.context() as patched:
        patched.setattr(Model, "answer", fails)
        with pytest.raises(RunError, match="frame 1: no memory"):
            next(stream)
    assert stream.session is None
    again = next(stream)
    assert again.asked
    assert again.results[0] is not first.results[0]


def test_pictures_of_another_size(pocket: Carve) -> None:
    seen = list(pocket.watch([grey(0), grey(0)[:40]], "What is it?", **BRIEFLY))
    assert asked(seen) == [0, 1]
    assert seen[1].change == math.inf
    document = json.loads(json.dumps(seen[1].to_dict(), allow_nan=False))
    assert document["change"] is None
    assert document["frame"] == 1
    assert document["results"][0]["image_size"] == [64, 40]
    assert repr(seen[1]).startswith("Watched(index=1, ")


def test_memory_does_not_grow(pocket: Carve) -> None:
    """A frame of 1.5 MB and what was computed of it is held, however many there were."""
    peaks = []
    for length in (3, 8):
        levels = islice(chain.from_iterable(repeat((0, 99))), length)
        frames = (np.full((700, 700, 3), level, np.uint8) for level in levels)
        tracemalloc.start()
        assert len(asked(pocket.watch(frames, "What is it?", **BRIEFLY))) == length
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + (1 << 20)


@pytest.mark.parametrize(
    ("frames", "questions", "changes", "kind", "says"),
    [
        ([], (), {}, PromptError, "there is no question"),
        ([], ["What?", " "], {}, PromptError, "empty"),
        ([], "What?", {"max_regions": 0}, SettingsError, "max_regions"),
        ("clip.mp4", "What?", {}, VideoError, r"'str'. Give .* of a file, Video\(path\)"),
        (7, "What?", {}, VideoError, "'int'"),
        ([], 7, {}, PromptError, "the questions are 'int'"),
    ],
)
def test_what_is_refused_before_the_first_frame(
    frames: Any, questions: Any, changes: Any, kind: type[CarveError], says: str, pocket: Carve
) -> None:
    with pytest.raises(kind, match=says):
        pocket.watch(frames, questions, **changes)


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        ((1.0, grey(0), grey(0)), "frame 1: it is a tuple"),
        (("now", grey(0)), "frame 1: it is a tuple"),
        ((10**400, grey(0)), "frame 1: it is a tuple"),
        ((4.0, grey(0)), r"frame 1: it was taken at 4.0 seconds, the frame before it at 5"),
        ((math.nan, grey(0)), "taken at nan"),
        ((math.inf, grey(0)), "taken at inf"),
        (grey(0), "taken at 0.0 seconds, the frame before it at 5"),  # timed when it comes
    ],
)
def test_times_that_are_refused(frame: Any, says: str, pocket: Carve) -> None:
    stream = pocket.watch([(5, grey(0)), frame, (6, grey(0))], "What is it?", **BRIEFLY)
    next(stream)
    with pytest.raises(SettingsError, match=says):
        next(stream)
    assert next(stream).seconds == 6


def test_the_first_time_is_a_number(pocket: Carve) -> None:
    frames = [(-math.inf, grey(0)), (-5, grey(0)), (-6, grey(0))]
    stream = pocket.watch(frames, "What is it?", **BRIEFLY)
    with pytest.raises(SettingsError, match="frame 0: it was taken at -inf seconds"):
        next(stream)
    assert next(stream).seconds == -5
    with pytest.raises(SettingsError, match="the frame before it at -5"):
        next(stream)


@pytest.mark.parametrize("settings", [{"min_change": -1}, {"min_seconds": math.nan}])
def test_settings_that_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=next(iter(settings))):
        WatchSettings(**settings)


@pytest.fixture(scope="module")
def sources(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recording as a clip, a folder of pictures, and pictures in one file."""
    folder = tmp_path_factory.mktemp("sources")
    write_clip(folder / "clip.mp4", recording.frames, fps=10)
    (folder / "frames").mkdir()
    with (folder / "pipe").open("wb") as pipe:
        for index, frame in enumerate(recording.frames):
            picture = Image.fromarray(frame)
            picture.save(folder / "frames" / f"{index:02}.png")
            picture.save(pipe, "PPM")
    return folder


def test_a_clip_is_watched_frame_by_frame(
    pocket: Carve, recording: Recording, sources: Path
) -> None:
    seen: list[Watched] = list(pocket.watch(Video(sources / "clip.mp4"), recording.question))
    assert tuple(asked(seen)) == recording.changed
    assert [frame.seconds for frame in seen] == [index / 10 for index in range(12)]


@pytest.mark.parametrize(
    ("source", "options"), [("clip.mp4", []), ("frames", ["--fps", "10"]), ("-", [])]
)
def test_the_command(
    source: str, options: list[str], pocket: Carve, recording: Recording, sources: Path
) -> None:
    piped = (sources / "pipe").read_bytes() if source == "-" else None
    given = source if source == "-" else sources / source
    done = carve_run("watch", "default", given, recording.question, *options, input=piped)
    assert done.exit_code == 0, done.output
    lines = [line.split(" s  ") for line in done.stdout.splitlines()]
    expected = [
        f"frame {index}: {text or pocket.ask(recording.frames[index], recording.question).answer}"
        for index, text in zip(recording.changed, recording.texts, strict=True)
    ]
    assert [what for _, what in lines] == expected
    if source != "-":
        assert [when for when, _ in lines] == [f"{index / 10:.2f}" for index in recording.changed]


def test_lines_of_json(recording: Recording, sources: Path) -> None:
    questions = [recording.question, "What is there?"]
    options = ("--json", "--fps", 10, "--min-seconds", 0.55, "--min-change", 1, "--max-regions", 2)
    done = carve_run("watch", "default", sources / "frames", *questions, *options)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["frame"] for line in lines] == [0, 6]
    assert [line["seconds"] for line in lines] == [0, 0.6]
    assert lines[1]["change"] > 50
    for line in lines:
        assert line["asked"]
        assert [result["question"] for result in line["results"]] == questions
        assert {result["settings"]["max_regions"] for result in line["results"]} == {2}


@pytest.mark.parametrize(
    ("arguments", "piped", "code", "says"),
    [
        (["frames"], None, 2, "frames without fps"),
        (["absent.mp4"], None, 1, "does not exist"),
        (["absent", "--fps", "2"], None, 1, "does not exist"),
        (["frames", "--fps", "0"], None, 2, "between 1e-06 and"),
        (["-", "--fps", "2"], b"P6", 2, "--fps is of a folder"),
        (["-", "--min-change", "-1"], b"", 2, "min_change"),
        (["-"], b"", 1, "the pipe is empty. Send P6"),
        (["-"], b"P5 2 2 255 " + bytes(4), 1, "picture 0 in the pipe"),
        (["-"], b"P6 2 2 65535\n" + bytes(24), 1, "picture 0 in the pipe"),
        (["-"], b"P6 2000000 2000000 255\n", 1, "picture 0 in the pipe"),
        (["-"], b"P6 2", 1, "picture 0 in the pipe"),
        (["-"], b"P6 9999999999999999 2 255\n", 1, "picture 0 in the pipe"),
        (["-"], b"P6\n# a comment\n2 2 255\n" + bytes(12) + b"P6 2 2 255 ", 1, "picture 1 in"),
    ],
)
def test_what_the_command_refuses(
    arguments: list[str], piped: bytes | None, code: int, says: str, sources: Path
) -> None:
    source, *options = arguments
    given = source if source == "-" else sources / source
    result = carve_run("watch", "default", given, "What is it?", *options, input=piped)
    failed(result, code, says)


def test_the_command_watches_longer_than_a_clip_may_last(sources: Path) -> None:
    """12 frames, an hour and more apart."""
    options = ("--fps", 0.0002, "--min-change", 1000, "--max-new-tokens", 1)
    done = carve_run("watch", "default", sources / "frames", "What is it?", *options)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("0.00 s  frame 0: ")
