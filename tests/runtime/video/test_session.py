"""Questions about clips: files, what they cost, and what is refused."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carve_models.errors import CarveError, PromptError, SettingsError, VideoError
from carve_models.families.registry import FAMILIES
from carve_runtime import Carve, Video
from carve_runtime.video.markup import in_words
from tests.comparing import assert_close
from tests.conftest import ExportOf
from tests.runtime.video.cases import CLIPS, QUESTION
from tests.runtime.video.clips import decode_all, moving_square, write_clip

LONG = CLIPS[-1]


@pytest.fixture(scope="module")
def vlm(export_of: ExportOf) -> Carve:
    return Carve.load(export_of("qwen2_5_vl", "ort").folder)


def test_a_file_is_answered_about_like_its_frames(vlm: Carve, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", LONG.frames(), fps=5)
    shown = [pixels for _, pixels in decode_all(path)]
    answers = [
        vlm.open_video(each).attend(QUESTION)
        for each in (path, Video(path), Video(shown, 5), Video(np.stack(shown), 5))
    ]
    for each in answers[1:]:
        np.testing.assert_array_equal(each.moments[0].rows, answers[0].moments[0].rows)


def test_what_a_question_costs(vlm: Carve) -> None:
    with vlm.open_video(LONG.video()) as clip:
        prefix, moments = clip.counts.decoder_tokens, len(clip.seen.moments)
        assert (clip.counts.vision_runs, clip.counts.decoder_runs) == (moments, 1)
        heard: list[str] = []
        first = clip.plain(QUESTION, on_token=lambda token: heard.append(token.text))
        second = clip.plain(QUESTION)
    assert first.answer == second.answer == "".join(heard).strip()
    for result in (first, second):
        assert result.counts.vision_runs == 0
        assert result.counts.decoder_tokens < prefix
    attention = clip.attend(QUESTION)
    assert len(attention.moments) == len(attention.seconds) == moments
    tokens = sum(len(moment.map_tokens) for moment in attention.moments)
    assert tokens < prefix < tokens + 100
    assert attention.over_time().sum() == pytest.approx(attention.moments[0].mass().mean(), 1e-4)
    assert attention.moments[-1].map().shape == (44, 60)
    # Frames 0 and 11, 22 and 33, and so on, five in a second.
    assert list(attention.seconds) == pytest.approx([1.1, 5.5, 10.1, 14.5])


@pytest.mark.parametrize(("most", "seen"), [(4, 4), (3, 2), (1, 1)])
def test_fewer_frames_on_demand(most: int, seen: int, vlm: Carve) -> None:
    video = Video(list(LONG.frames()), LONG.fps, max_frames=most)
    assert len(vlm.open_video(video).seen.frames) == seen


def test_one_frame_of_many_is_seen_like_a_clip_of_it(vlm: Carve) -> None:
    frames = list(LONG.frames())
    one = vlm.open_video(Video(frames, LONG.fps, max_frames=1)).attend(QUESTION)
    alone = vlm.open_video(Video(frames[:1], LONG.fps)).attend(QUESTION)
    assert_close(one.moments[0].rows, alone.moments[0].rows, rtol=0, atol=1e-6)


def test_memory_is_that_of_what_is_seen(vlm: Carve, tmp_path: Path) -> None:
    peaks = []
    for minutes in (1, 10):
        frames = moving_square(minutes * 60 * 4, (160, 120))
        path = write_clip(tmp_path / f"{minutes}.mp4", frames, fps=4, codec="mpeg4")
        vlm.open_video(path)
        tracemalloc.start()
        vlm.open_video(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


REFUSED: list[tuple[dict[str, Any], type[CarveError], str]] = [
    (
        {"source": [np.zeros((60, 60, 3), np.uint8)] * 400, "fps": 2, "sample": False},
        PromptError,
        "400 frames of .* positions, the model has 512",
    ),
    ({"source": "missing.mp4"}, VideoError, "does not exist"),
]


@pytest.mark.parametrize(("given", "kind", "says"), REFUSED)
def test_what_is_refused(
    given: dict[str, Any], kind: type[CarveError], says: str, vlm: Carve
) -> None:
    with pytest.raises(kind, match=says):
        vlm.open_video(Video(**given))


def test_questions_that_are_refused(vlm: Carve) -> None:
    clip = vlm.open_video(CLIPS[0].video())
    with pytest.raises(PromptError, match="empty"):
        clip.plain(" ")
    with pytest.raises(SettingsError, match="generate"):
        clip.attend(QUESTION, generate=0)
    with pytest.raises(SettingsError, match="max_frames"):
        Video("clip.mp4", sample=False, max_frames=3)


def test_a_bundle_that_takes_no_clips(pocket: Carve, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="says nothing of clips") as caught:
        pocket.open_video("any.mp4")
    assert "export the checkpoint again" in caught.value.remedy


def test_numbers_in_words() -> None:
    words = {
        0: "zero",
        1: "one",
        13: "thirteen",
        20: "twenty",
        64: "sixty-four",
        100: "one hundred",
    }
    words |= {101: "one hundred and one", 345: "three hundred and forty-five", 1000: "1000"}
    assert {number: in_words(number) for number in words} == words


CLASSES = {
    "qwen2_5_vl": "qwen2_vl.video_processing_qwen2_vl.Qwen2VLVideoProcessor",
    "qwen3_vl": "qwen3_vl.video_processing_qwen3_vl.Qwen3VLVideoProcessor",
    "idefics3": "smolvlm.video_processing_smolvlm.SmolVLMVideoProcessor",
    "internvl": "internvl.video_processing_internvl.InternVLVideoProcessor",
}


@pytest.mark.parametrize(
    "family", [f for f in FAMILIES if f.video and f.video.fields], ids=lambda f: f.name
)
def test_declared_fields_are_those_of_the_class(family: Any) -> None:
    from importlib import import_module

    module, name = CLASSES[family.name].rsplit(".", 1)
    try:
        kind = getattr(import_module(f"transformers.models.{module}"), name)
    except ModuleNotFoundError as error:  # some of these modules import it where they begin
        pytest.skip(f"{name} cannot be imported without {error.name}")
    for field, value in family.video.fields.items():
        assert getattr(kind, field) == value, field
    if hasattr(kind, "max_frames"):
        assert kind.max_frames == family.video.max_frames
