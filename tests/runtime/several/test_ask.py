"""Several images and the pocket bundle: answers, costs, sessions, refusals, files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carve_models.prompts.segment import Segment
from carve_runtime import Carve, ImageError, PromptError, SettingsError, Token
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import Bundle, open_bundle
from carve_runtime.prompt.budget import prompt_length
from carve_runtime.several.given import MOST_IMAGES
from tests.conftest import ExportOf
from tests.runtime.cli.commands import carve_run, failed
from tests.support import POCKET, SCENES

ENTRIES = json.loads((SCENES / "questions.json").read_text())
FIRST, SECOND, THIRD = (SCENES / f"scene-0{index}.jpg" for index in (0, 1, 2))
#: The object is in the first picture alone.
QUESTION, ANSWER = "What letter is on the blue triangle?", "U"


def test_the_image_that_shows_the_object_is_kept(pocket: Carve) -> None:
    """Pocket was trained with pairs of an image and its crop; two pictures are new to it."""
    found = right = plain = 0
    for index, entry in enumerate(ENTRIES):
        own = int(entry["image"][6:8])
        pictures = [SCENES / entry["image"], SCENES / f"scene-0{(own + 3) % 8}.jpg"]
        place = index % 2
        result = pocket.ask(pictures[::-1] if place else pictures, entry["question"])
        x, y = (int(side) for side in entry["center"])
        found += bool(result.images[place].mask[y, x])
        right += result.answer == entry["answer"]
        plain += result.plain_answer == entry["answer"]
        assert sum(part.kept for part in result.images) == 1  # its default is one region
    print(f"of {len(ENTRIES)}: object in the mask {found}, CARVE {right}, plain {plain}")
    assert len(ENTRIES) == 24
    assert right >= 16
    assert found >= 16
    assert plain <= right / 2


def test_each_image_is_encoded_once_and_the_prefix_too(pocket: Carve) -> None:
    changes: Any = {"max_regions": 3, "mask_top_p": 0.2}
    session = pocket.open([FIRST, SECOND, THIRD])
    first = session.ask(QUESTION, **changes)
    again = session.ask(QUESTION, **changes)
    kept = sum(part.kept for part in first.images)
    assert kept >= 2
    whole = pocket.ask([FIRST, SECOND, THIRD], QUESTION, **changes)
    assert whole.counts.vision_runs == 3 + kept
    assert first.counts.vision_runs == again.counts.vision_runs == kept
    tokens, requests = 144, pocket._model.requests
    prompt = requests.plain(QUESTION).prompt
    tail, general = (prompt_length(text.behind(3), 0) for text in (prompt, requests.general))
    asked = tail + len(whole.plain_token_ids or ()) + kept * tokens + tail + len(whole.token_ids)
    assert again.counts.decoder_tokens == asked
    assert first.counts.decoder_tokens == asked + general
    assert whole.counts.decoder_tokens == asked + general + 1 + 3 * tokens
    assert [part.bbox for part in again.images] == [part.bbox for part in whole.images]


@pytest.mark.parametrize(
    "changes",
    [
        {"early_exit": True},
        {"adaptive": True, "sure_probability": 0.0, "focused_entropy": 99.0},
        {"final_prompt": "refined", "max_regions": 4, "mask_top_p": 0.3},
        {"outlier_percent": 100.0, "strategy": "remove_small", "mask_top_p": 0.5},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_modes(changes: dict[str, Any], pocket: Carve) -> None:
    heard: list[Token] = []
    result = pocket.ask([FIRST, SECOND], QUESTION, on_token=heard.append, **changes)
    final = "".join(token.text for token in heard if token.stage == "final")
    assert (result.plain_answer is None) == bool(changes.get("early_exit"))
    if changes.get("adaptive"):
        assert result.skipped is not None
        assert result.answer == result.plain_answer
        assert all(np.isnan(part.saliency).all() and part.mask.all() for part in result.images)
    else:
        assert final.strip() == result.answer
        assert result.skipped is None
        assert result.draw(QUESTION).height > 0


def test_the_final_prompt_may_hold_the_refined_images_alone(pocket: Carve) -> None:
    result = pocket.ask(
        [FIRST, SECOND], QUESTION, final_prompt="refined", max_regions=3, mask_top_p=0.2
    )
    refined = [part.refined_image for part in result.images if part.refined_image is not None]
    assert len(refined) == 2
    by_hand = pocket.plain(refined, QUESTION)
    assert by_hand.token_ids == result.token_ids
    behind = pocket.ask([FIRST, SECOND], QUESTION)
    (one,) = [part.refined_image for part in behind.images if part.refined_image is not None]
    assert pocket.plain([FIRST, SECOND], QUESTION, refined=one).token_ids == behind.token_ids


def test_what_was_seen_of_a_list_is_remembered_by_order_and_kind() -> None:
    vlm = Carve.load(POCKET)
    assert vlm.plain([FIRST, SECOND], QUESTION).counts.vision_runs == 2
    assert vlm.plain((str(FIRST), SECOND), QUESTION).counts.vision_runs == 0
    assert vlm.plain([SECOND, FIRST], QUESTION).counts.vision_runs == 2
    assert vlm.plain([FIRST], QUESTION).counts.vision_runs == 1
    assert vlm.plain(FIRST, QUESTION).counts.vision_runs == 1
    assert vlm.plain([FIRST, SECOND, FIRST], QUESTION).counts.vision_runs == 3


def test_a_budget_of_pixels_for_each_image(export_of: ExportOf) -> None:
    vlm = Carve.load(export_of("qwen2_5_vl", "ort").folder)
    small, usual = (
        vlm.ask([FIRST, SECOND], QUESTION, scout_pixels=pixels, max_new_tokens=2)
        for pixels in (1024, None)
    )
    for scouted, seen in zip(small.images, usual.images, strict=True):
        assert np.prod(scouted.grid) * 64 <= 1024 < np.prod(seen.grid) * 64
    session = vlm.open([FIRST, SECOND], scout_pixels=1024)
    assert session.ask(QUESTION, max_new_tokens=2).images[0].grid == small.images[0].grid
    with pytest.raises(SettingsError, match="opened with 1024"):
        session.ask(QUESTION, scout_pixels=2048)


def test_what_does_not_fit_is_refused_before_a_graph_runs() -> None:
    ran: list[str] = []
    watch = BackendSettings(on_run=lambda name, feeds: ran.append(name))
    vlm = Carve(open_bundle(POCKET), watch, image_cache_bytes=0)
    many = [FIRST] * 7
    with pytest.raises(PromptError, match=r"about 7 images .* Give fewer images"):
        vlm.ask(many, QUESTION)
    with pytest.raises(PromptError, match=r"the 8 images .* take \d+ positions"):
        vlm.open([FIRST] * 8)
    with pytest.raises(PromptError, match=f"{MOST_IMAGES + 1} images were given"):
        vlm.plain(["missing.jpg"] * (MOST_IMAGES + 1), QUESTION)
    with pytest.raises(PromptError, match="list of images is empty"):
        vlm.ask([], QUESTION)
    with pytest.raises(PromptError, match="2 images in a list were given to attend"):
        vlm.attend([FIRST, SECOND], QUESTION)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="the image is 'list'"):
        vlm.ask([FIRST, [SECOND]], QUESTION)
    assert ran == []


def test_a_bundle_whose_pair_has_the_question_in_the_middle() -> None:
    opened = open_bundle(POCKET)
    prompts = opened.manifest.prompts
    begin, text = prompts.single[:2], prompts.single[2]
    pair = (*begin, text, Segment(image=1))
    manifest = replace(opened.manifest, prompts=replace(prompts, pair=pair))
    vlm = Carve(Bundle(opened.folder, manifest))
    vlm.ask(FIRST, QUESTION, max_new_tokens=1)
    vlm.ask([FIRST], QUESTION, max_new_tokens=1)
    with pytest.raises(PromptError, match=r"about 2 images cannot be made .* one image"):
        vlm.ask([FIRST, SECOND], QUESTION)


def test_files_and_json(pocket: Carve, tmp_path: Path) -> None:
    result = pocket.ask([SECOND, FIRST], QUESTION)
    assert result.answer == ANSWER
    paths = result.save(tmp_path, QUESTION)
    steps = {"original", "saliency", "heat", "mask", "masked", "regions"}
    kept = {f"image-2/{name}.png" for name in steps | {"refined"}}
    dropped = {f"image-1/{name}.png" for name in steps}
    names = {path.relative_to(tmp_path).as_posix() for path in paths}
    assert names == kept | dropped | {"carve.png", "result.json"}
    document = json.loads((tmp_path / "result.json").read_text())
    assert [part["kept"] for part in document["images"]] == [False, True]
    assert document["images"][0]["bbox"] is None
    assert document["images"][1]["bbox"] == list(result.images[1].bbox or ())
    assert document["answer"] == ANSWER
    again = pocket.ask([FIRST], QUESTION).save(tmp_path)
    assert {*tmp_path.rglob("*.png")} == {path for path in again if path.suffix == ".png"}
    assert ANSWER in repr(result)
    assert "CARVE: <b>U</b>" in result._repr_html_()


def test_maps_share_one_scale_of_colours(pocket: Carve) -> None:
    """What the question points to is bright; the other picture's own maximum is not."""
    result = pocket.ask([SECOND, FIRST], QUESTION)
    overview = np.asarray(result.draw())
    rows = np.split(overview[30:], 2)  # the heading is 30 pixels high
    brightest = [row[30:390, 384:744].max(axis=-1) for row in rows]  # the second panels
    assert brightest[1].max() > 180 > brightest[0].max()


def test_the_command(tmp_path: Path) -> None:
    picture = tmp_path / "rows.png"
    asked = ("ask", "default", SECOND, FIRST, "--question", QUESTION)
    said = carve_run(*asked, "--picture", picture)
    assert said.exit_code == 0
    assert "CARVE  U\nimage  1: nothing kept\nimage  2: (" in said.stdout
    assert picture.exists()
    fields = json.loads(carve_run(*asked, "--json", "-q", "What is there?").stdout)
    assert [len(each["images"]) for each in fields] == [2, 2]
    plain = json.loads(carve_run(*asked, "--plain", "--json").stdout)
    assert set(plain) == {"plain_answer", "plain_probability", "timings", "counts", "saved"}
    one = json.loads(carve_run("ask", "default", FIRST, "-q", QUESTION, "--json").stdout)
    assert one["bbox"] == json.loads(
        carve_run("ask", "default", FIRST, QUESTION, "--json").stdout
    )["bbox"]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([FIRST, QUESTION, "-q", QUESTION], r"no file 'What letter.*every argument .* a picture"),
        (["-", "-", "-q", QUESTION], "given twice"),
        ([FIRST, "-q", SECOND], "is a picture"),
        ([FIRST, SECOND], "To ask about several pictures, give --question"),
    ],
)
def test_wrong_use_of_the_command(arguments: list[Any], message: str) -> None:
    failed(carve_run("ask", "default", *arguments), 2, message)
