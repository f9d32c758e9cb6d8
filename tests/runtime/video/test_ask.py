"""CARVE over time: what is asked last, what it costs, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from carve_models.errors import CarveError, PromptError, SettingsError
from carve_runtime import Carve, ClipSettings, Token, Video
from carve_runtime.method.contrast import fuse_contrast
from carve_runtime.video.file import VideoFile
from carve_runtime.video.over_time.interval import mass_over_time
from tests.comparing import assert_close
from tests.conftest import ExportOf
from tests.runtime.cli.commands import SCENE, carve_run, failed
from tests.runtime.video.cases import CLIPS, QUESTION
from tests.runtime.video.clips import moving_square, write_clip

#: One whose moments are one block of the prompt, and one whose moments are images of their own.
FAMILIES = ("qwen2_5_vl", "internvl")
LONG = CLIPS[-1]


class Counting(Sequence[NDArray[np.uint8]]):
    """Frames that note which of them are read."""

    def __init__(self, frames: Sequence[NDArray[np.uint8]]) -> None:
        self._frames = frames
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: Any) -> Any:
        self.read.append(index)
        return self._frames[index]


@pytest.fixture(scope="module")
def vlm(export_of: ExportOf) -> Carve:
    return Carve.load(export_of("qwen2_5_vl", "ort").folder)


@pytest.fixture(scope="module", params=FAMILIES)
def any_vlm(request: pytest.FixtureRequest, export_of: ExportOf) -> Carve:
    return Carve.load(export_of(request.param, "ort").folder)


def test_the_last_pass_sees_the_refined_clip_alone(any_vlm: Carve) -> None:
    frames = Counting(list(LONG.frames()))
    clip = any_vlm.open_video(Video(frames, LONG.fps))
    moments, seen = len(clip.seen.moments), len(clip.seen.frames)
    frames.read.clear()
    heard: list[Token] = []
    settings = ClipSettings(mass_share=0.3, refined_frames=3)
    result = clip.ask(QUESTION, clip_settings=settings, mask_top_p=0.1, on_token=heard.append)
    spent = replace(result.counts)

    # Nothing outside the interval is read again, beside the first frame, which has the size.
    first, stop = result.interval.frames
    assert 0 < stop - first < LONG.count
    assert frames.read == [0, *result.refined.indices]
    assert set(result.refined.indices) <= set(range(first, stop))
    assert len(result.refined.indices) == min(3, stop - first) < seen
    together = seen // moments
    assert result.counts.vision_runs == -(-len(result.refined.indices) // together)

    # The same by hand: the frames of the interval, cropped and magnified, as a clip of their own.
    assert result.box is not None
    pictures = [_magnified(frames._frames[index], result.box) for index in result.refined.indices]
    fps = len(pictures) * LONG.fps / (stop - first)
    by_hand = any_vlm.open_video(Video(pictures, fps, sample=False))
    assert by_hand.plain(QUESTION).token_ids == result.token_ids
    rows = by_hand.attend(QUESTION).moments[0].rows
    excerpt = any_vlm.open_video(Video(list(result.refined.pictures()), fps, sample=False))
    np.testing.assert_array_equal(excerpt.attend(QUESTION).moments[0].rows, rows)

    # What anyone may ask about a part of the clip is the same pass.
    part = clip.plain_about(QUESTION, interval=result.interval.seconds, box=result.box, frames=3)
    assert part.token_ids == result.token_ids
    assert part.counts.vision_runs == spent.vision_runs
    assert result.plain_token_ids == clip.plain(QUESTION).token_ids
    for stage, answer in (("question", result.plain_answer), ("final", result.answer)):
        assert "".join(each.text for each in heard if each.stage == stage).strip() == answer

    # The prefix and the general pass are there already.
    again = clip.ask(QUESTION, clip_settings=settings, mask_top_p=0.1)
    assert again.answer == result.answer
    assert again.counts.decoder_tokens < spent.decoder_tokens
    assert again.counts.vision_runs == spent.vision_runs


def _magnified(frame: NDArray[np.uint8], box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Crop and scale to as many pixels as the frame has."""
    height, width = frame.shape[:2]
    crop = Image.fromarray(frame).crop(box)
    scale = (width * height / (crop.width * crop.height)) ** 0.5
    scale = min(scale, max(width / crop.width, height / crop.height))
    size = int(crop.width * scale), int(crop.height * scale)
    return np.asarray(crop.resize(size, Image.Resampling.LANCZOS))


def test_the_contrast_is_that_of_all_moments(any_vlm: Carve) -> None:
    """The map of the result is the contrast of what ``attend`` shows of two texts."""
    clip = any_vlm.open_video(LONG.video())
    layers = any_vlm.manifest.defaults.layers
    result = clip.ask(QUESTION, steps="first")
    rows = []
    for text in (QUESTION, any_vlm.manifest.prompts.general):
        moments = clip.attend(text).moments
        at = [moments[0].layers.index(layer) for layer in layers]
        tokens = np.concatenate([moment.map_tokens for moment in moments])
        rows.append(moments[0].rows[:1, at][..., tokens])
    count = result.saliency.size
    expected = fuse_contrast(
        *rows, grid=(1, count), image_size=(count, 1), layers=range(len(layers)), steps="first"
    )
    assert_close(result.saliency.ravel(), expected[0], rtol=1e-4, atol=0)
    mass = mass_over_time(result.saliency.ravel(), len(clip.seen.moments), 0.2)
    np.testing.assert_array_equal(result.mass, mass)


def test_all_frames_in_full_where_all_is_kept(vlm: Carve) -> None:
    """An interval of everything, not cropped, is a uniform sample of the clip."""
    clip = vlm.open_video(LONG.video())
    settings = ClipSettings(mass_share=1.0, crop=False, refined_frames=6)
    result = clip.ask(QUESTION, clip_settings=settings, mask_top_p=1.0)
    assert result.interval.frames == (0, LONG.count)
    assert result.box is None
    assert result.refined.indices == (7, 22, 37, 52, 67, 82)
    assert clip.plain_about(QUESTION, frames=6).token_ids == result.token_ids


def test_a_file_is_decoded_from_the_key_frame_before_the_interval(
    vlm: Carve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(tmp_path / "clip.mp4", moving_square(400, (60, 44)), fps=10, gop=10)
    clip = vlm.open_video(path)
    decoded, decode = [], VideoFile._next

    def counted(self: VideoFile, decoder: Any) -> Any:
        decoded.append(1)
        return decode(self, decoder)

    monkeypatch.setattr(VideoFile, "_next", counted)
    clip.plain_about(QUESTION, interval=(30.0, 31.0), frames=4)
    # Opening the file decodes its first frame; the rest of a group of pictures may be needed.
    assert len(decoded) <= 1 + 10 + 10


def test_what_is_saved(vlm: Carve, tmp_path: Path) -> None:
    clip = vlm.open_video(LONG.video())
    result = clip.ask(QUESTION)
    paths = result.save(tmp_path, QUESTION)
    assert [path.name for path in paths[-2:]] == ["carve.png", "result.json"]
    assert len(paths) == 2 + len(result.refined.indices)
    document = json.loads((tmp_path / "result.json").read_text())
    assert document["answer"] == result.answer
    assert document["interval"]["frames"] == list(result.interval.frames)
    assert document["bbox"] == list(result.box or ())
    assert sum(document["mass"]) == pytest.approx(1)
    assert len(document["moments"]) == len(document["mass"]) == len(result.saliency)
    assert document["clip_settings"]["mass_share"] == 0.5
    assert document["settings"]["final_prompt"] == "refined"
    assert repr(result).startswith("VideoResult(answer=")
    with Image.open(tmp_path / "carve.png") as strip:
        assert strip.height > 2 * 360
        assert strip.width > 720


REFUSED: list[tuple[dict[str, Any], type[CarveError], str]] = [
    ({"final_prompt": "pair"}, SettingsError, "final_prompt is 'pair', and clips"),
    ({"early_exit": True}, SettingsError, "early_exit"),
    ({"adaptive": True}, SettingsError, "adaptive"),
    ({"scout_pixels": 4000}, SettingsError, "scout_pixels"),
    ({"max_refined_pixels": 4000}, SettingsError, "max_refined_pixels"),
    ({"focused_entropy": 3.0}, SettingsError, "focused_entropy"),
    ({"mask_top_p": 2.0}, SettingsError, "mask_top_p"),
    ({"no_such": 1}, SettingsError, "no setting named 'no_such'"),
    ({"question": " "}, PromptError, "empty"),
]


@pytest.mark.parametrize(("given", "kind", "says"), REFUSED)
def test_what_ask_refuses(
    given: dict[str, Any], kind: type[CarveError], says: str, vlm: Carve
) -> None:
    clip = vlm.open_video(CLIPS[0].video())
    with pytest.raises(kind, match=says):
        clip.ask(**{"question": QUESTION, **given})


def test_what_a_part_refuses(vlm: Carve) -> None:
    clip = vlm.open_video(CLIPS[1].video())
    ask = partial(clip.plain_about, QUESTION)
    with pytest.raises(SettingsError, match="interval"):
        ask(interval=(9.0, 10.0))
    with pytest.raises(SettingsError, match="box"):
        ask(box=(0, 0, 100, 100))
    with pytest.raises(SettingsError, match="frames"):
        ask(frames=0)
    with pytest.raises(PromptError, match="positions"):
        vlm.open_video(LONG.video()).plain_about(QUESTION, frames=90)


def test_one_frame_is_a_clip_too(any_vlm: Carve) -> None:
    result = any_vlm.open_video(CLIPS[0].video()).ask(QUESTION)
    assert result.interval.frames == (0, 1)
    assert result.refined.indices == (0,)
    assert list(result.mass) == [1.0]


def test_the_command(export_of: ExportOf, tmp_path: Path) -> None:
    folder = str(export_of("qwen2_5_vl", "ort").folder)
    path = str(write_clip(tmp_path / "clip.mp4", LONG.frames(), fps=5))
    strip = str(tmp_path / "strip.png")
    run = carve_run("ask", folder, path, QUESTION, "--video", "--picture", strip)
    assert run.exit_code == 0, run.output
    assert "\nwhen   " in run.output
    assert Path(strip).is_file()
    several = carve_run("ask", folder, path, "-q", QUESTION, "--video", "--plain", "--json")
    assert json.loads(several.output)["counts"]["vision_runs"] == 0


WRONG = [
    ((SCENE, QUESTION, "--fps", "2"), 2, "--fps speaks of a clip"),
    (
        (SCENE, QUESTION, "--video", "--plain", "--mass-share", "0.4"),
        2,
        "--mass-share does nothing",
    ),
    ((SCENE, SCENE, "-q", QUESTION, "--video"), 2, "one clip"),
    (("-", QUESTION, "--video"), 2, "one clip"),
    ((SCENE, QUESTION, "--video", "--mass-share", "2"), 2, "mass_share is 2.0"),
    ((SCENE, QUESTION, "--video"), 1, "says nothing of clips"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), WRONG)
def test_commands_that_are_refused(arguments: tuple[str, ...], code: int, message: str) -> None:
    failed(carve_run("ask", "default", *arguments), code, message)
