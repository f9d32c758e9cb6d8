"""Clips: made again from a seed, true to their questions, trained on and measured."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from transformers import AutoTokenizer

from carve_export.checkpoint.load import load_checkpoint
from carve_export.checkpoint.video_rule import video_rule
from carve_models.interface import FEATURE
from carve_models.manifest import read_manifest, write_manifest
from carve_runtime import Carve
from carve_runtime.video.over_time.interval import spread
from tests.comparing import assert_close
from tests.support import POCKET, copied_pocket
from tools.research.pocket.clips import ways
from tools.research.pocket.clips.bundle import SEEN, declare_clips
from tools.research.pocket.clips.cases import GROUPS, Group, Rendered, clip_cases
from tools.research.pocket.clips.measure import main as measure
from tools.research.pocket.clips.train import CONTEXT, clip_batches, clip_stage, start_from
from tools.research.pocket.training.answering import answer_loss, text_hidden
from tools.research.pocket.training.grounding import Grounding
from tools.research.pocket.training.packing import TextBatch
from tools.research.pocket.training.pocket import Pocket
from tools.research.pocket.training.text_stages import train_text
from tools.research.pocket.training.tokenizer import build_tokenizer
from tools.research.pocket.world.clips import FRAMES, Clip, large_clip, small_clip
from tools.research.pocket.world.fonts import Split
from tools.research.pocket.world.model_input import IMAGE_TOKENS
from tools.research.pocket.world.render import render

Draw = Callable[[np.random.Generator, Split], Clip]


def without(clip: Clip, track: object) -> Clip:
    return replace(clip, tracks=tuple(each for each in clip.tracks if each is not track))


def test_the_same_seed_gives_the_same_clip_and_the_parts_differ() -> None:
    first, again, other = (next(clip_cases(part, "small", 1)) for part in ("test", "test", "dev"))
    assert first.clip == again.clip != other.clip
    assert (first.question, first.answer) == (again.question, again.answer)
    frames = [Rendered(case.clip)[FRAMES // 2] for case in (first, again)]
    assert np.array_equal(frames[0], frames[1])


@pytest.mark.parametrize("group", GROUPS)
def test_the_target_is_where_and_when_the_case_says(group: Group) -> None:
    for case in clip_cases("test", group, 2):
        first, stop = case.target.frames
        x0, y0, x1, y1 = case.box
        assert case.interval == (first / 4, stop / 4)
        for frame in {max(first - 1, 0), first, stop - 1, min(stop, FRAMES - 1)}:
            whole, rest = (
                np.asarray(render(clip.scene(frame)))
                for clip in (case.clip, without(case.clip, case.target))
            )
            changed = (whole != rest).any(-1)
            assert changed.any() == (first <= frame < stop)
            changed[y0:y1, x0:x1] = False
            assert not changed.any()


@pytest.mark.parametrize("draw", [small_clip, large_clip])
def test_what_comes_and_goes_is_seen_at_least_once(draw: Draw) -> None:
    for seed in range(100):
        clip = draw(np.random.default_rng(seed), "train")
        assert clip.brief
        for track in clip.brief:
            seen = [at for at in spread(0, FRAMES, SEEN) if track.frames[0] <= at < track.frames[1]]
            assert seen


def test_distractors_move_and_stay_inside() -> None:
    clip = small_clip(np.random.default_rng(2), "train")
    moving = [track for track in clip.tracks if track.item.is_distractor]
    assert moving
    for track in moving:
        places = np.array([(track.at(frame).x, track.at(frame).y) for frame in range(FRAMES)])
        half = track.item.side / 2
        assert np.ptp(places, axis=0).max() > half
        assert places.min() >= half
        assert places.max() <= 640 - half
    assert not np.array_equal(Rendered(clip)[0], Rendered(clip)[FRAMES - 1])


def test_batches_are_made_again_and_ground_where_the_evidence_is() -> None:
    batches = clip_batches(6, 3)
    seen = set()
    for index in range(6):
        first, again = batches[index], batches[index]
        assert torch.equal(first.pixels, again.pixels)
        assert torch.equal(first.ids, again.ids)
        assert len(first.pixels) == len(first.ids) * first.images <= 6
        assert_close(first.evidence.target.sum(1), torch.ones(len(first.evidence.row)), atol=1e-4)
        frames = first.evidence.target.reshape(len(first.evidence.row), first.images, -1).sum(2)
        seen |= {int(count) for count in (frames > 0).sum(1)}
    assert {1, 2} <= seen  # what stays is in every frame, what comes and goes in some


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def untrained() -> Pocket:
    torch.manual_seed(0)
    return Pocket(build_tokenizer())


def loss_of(model: Pocket, batch: TextBatch) -> float:
    with torch.no_grad():
        tokens = model.projector(model.patch_features(batch.pixels))
        hidden = text_hidden(model.text_model, tokens, batch)
        return float(answer_loss(model.vlm.lm_head, hidden, batch)[0])


@pytest.mark.usefixtures("one_thread")
def test_the_stage_learns_and_goes_on_exactly_where_it_was_left(tmp_path: Path) -> None:
    batches, stage = clip_batches(3, 3), replace(clip_stage(steps=6, rate=10.0), log_steps=2)

    def train(folder: Path, seconds: float) -> tuple[Pocket, int]:
        folder.mkdir(exist_ok=True)
        model = untrained()
        steps = train_text(model, stage, Grounding(), batches, folder, workers=0, seconds=seconds)
        return model, steps

    whole, steps = train(tmp_path / "whole", 1e9)
    assert steps == 6
    assert loss_of(whole, batches[6]) < loss_of(untrained(), batches[6]) - 0.2
    assert [train(tmp_path / "parts", 0)[1] for _ in range(2)] == [2, 4]
    parts, steps = train(tmp_path / "parts", 0)
    assert steps == 6
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name


def test_it_starts_from_pocket_with_room_for_more_frames() -> None:
    model, batch = start_from(POCKET / "checkpoint"), clip_batches(3, 3)[6]
    assert loss_of(model, batch) < 1 < loss_of(untrained(), batch)
    assert model.vlm.config.text_config.max_position_embeddings == CONTEXT


@pytest.fixture(scope="module")
def clips_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return pocket's bundle with what an export of its checkpoint says of clips, once it does."""
    folder = tmp_path_factory.mktemp("clips")
    checkpoint = folder / "checkpoint"
    shutil.copytree(POCKET / "checkpoint", checkpoint)
    bundle = copied_pocket(folder / "untrained" / "bundle")
    manifest = read_manifest(bundle)
    assert video_rule(load_checkpoint(str(checkpoint)), manifest.image) is None
    declare_clips(checkpoint)
    rule = video_rule(load_checkpoint(str(checkpoint)), manifest.image)
    decoder = replace(manifest.decoder, context_length=CONTEXT)
    write_manifest(bundle, replace(manifest, video=rule, decoder=decoder))
    return bundle


def test_frames_are_told_as_several_images(clips_bundle: Path) -> None:
    vlm, case = Carve.load(clips_bundle), next(clip_cases("dev", "small", 1))
    tokenizer = AutoTokenizer.from_pretrained(POCKET / "checkpoint")
    with vlm.open_video(case.video) as clip:
        shown = clip.seen.frames
        ids = clip.attend(case.question).moments[0].ids
        answers = [clip.plain(case.question)]
    assert shown == list(spread(0, FRAMES, SEEN))
    told = f"{'<image>' * SEEN * IMAGE_TOKENS}\nUSER: {case.question}\nASSISTANT:"
    expected = np.asarray(tokenizer(told).input_ids)
    image = tokenizer.convert_tokens_to_ids("<image>")
    np.testing.assert_array_equal(ids, np.where(expected == image, FEATURE, expected))
    frames = Rendered(case.clip)
    answers.append(vlm.plain([frames[index] for index in shown], case.question))
    assert answers[0].answer == answers[1].answer
    assert_close(answers[0].probability, answers[1].probability, rtol=1e-4)


def test_the_command_measures_and_asks_nothing_twice(
    clips_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in {*ways.WAYS} - {ways.PLAIN, ways.SPREAD, ways.CARVE}:
        monkeypatch.delitem(ways.WAYS, name)
    monkeypatch.setattr(ways, "clip_cases", lambda *of: islice(clip_cases(*of), 2))
    arguments = ["--out", str(clips_bundle.parents[1]), "--model", "untrained"]
    arguments += ["--part", "dev", "--clips", "1", "--others", "1"]
    run = CliRunner().invoke(measure, arguments)
    assert not run.exception, run.output
    table = run.output
    monkeypatch.setattr(Carve, "open_video", None)  # nothing is left to ask
    assert (
        CliRunner().invoke(measure, arguments).output.split("Clips: ")[1]
        == table.split("Clips: ")[1]
    )
    assert "CARVE over time" in table
