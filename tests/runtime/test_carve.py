"""The public interface on the pocket bundle: answers, counts, streaming, threads, promises."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carve_models.settings import VARIANTS, FinalPrompt, Variant
from carve_runtime import (
    Carve,
    SettingsError,
    Token,
    attention_entropy,
    load_image,
    refine_image,
)
from carve_runtime.bundle import Bundle, open_bundle
from carve_runtime.method import refine
from tests.comparing import assert_close
from tests.runtime.by_hand import answer_by_hand, prompt_ids
from tests.support import POCKET, SCENES

SCENE = SCENES / "scene-01.jpg"
QUESTION = "What letter is on the yellow square?"
INSTRUCTION = "Write a general description of the image."
EQUAL = 1e-5
ENTRIES = json.loads((SCENES / "questions.json").read_text())


def test_carve_answers_what_the_plain_pass_cannot_read(pocket: Carve) -> None:
    plain = right = pointed = 0
    for entry in ENTRIES:
        result = pocket.ask(SCENES / entry["image"], entry["question"])
        plain += result.plain_answer == entry["answer"]
        right += result.answer == entry["answer"]
        x, y = (int(side) for side in entry["center"])
        pointed += bool(result.mask[y, x])
    print(f"of {len(ENTRIES)}: plain {plain}, CARVE {right}, target in the mask {pointed}")
    assert len(ENTRIES) == 24
    assert right >= 18
    assert plain <= right / 2


@pytest.mark.parametrize("final_prompt", ["pair", "refined"])
@pytest.mark.parametrize(("question", "limit"), [(QUESTION, 9), (INSTRUCTION, 5)])
def test_all_passes_are_those_of_the_bare_graphs(
    pocket: Carve, question: str, limit: int, final_prompt: FinalPrompt
) -> None:
    """With every layer and step; the first question ends by itself, the other at the limit."""
    prompts, image = pocket.manifest.prompts, load_image(SCENE)
    settings: Any = {"layers": list(range(pocket.manifest.decoder.layers)), "variant": "v4"}
    settings |= {"max_new_tokens": limit, "final_prompt": final_prompt}
    result = pocket.ask(SCENE, question, **settings)
    plain = answer_by_hand(prompts.single, question, [image], limit)
    steps = len(plain.attention)
    assert (len(plain.ids) == limit) == (question == INSTRUCTION)
    assert result.plain_token_ids == plain.ids
    assert result.plain_probability == pytest.approx(plain.probability, rel=1e-4)
    assert_close(result.question_attention, plain.attention, atol=EQUAL)
    general = answer_by_hand(prompts.single, INSTRUCTION, [image], steps)
    assert_close(result.general_attention, general.attention, atol=EQUAL)
    pair = final_prompt == "pair"
    pictures = [image, result.refined_image] if pair else [result.refined_image]
    final = answer_by_hand(prompts.pair if pair else prompts.single, question, pictures, limit)
    assert result.token_ids == final.ids
    assert result.entropy == pytest.approx(attention_entropy(plain.attention[-1]), rel=1e-4)


def test_every_end_of_sequence_ends_an_answer() -> None:
    bundle = open_bundle(POCKET)
    ids = Carve(bundle).plain(SCENE, INSTRUCTION).token_ids
    asked = prompt_ids(prompt_text(INSTRUCTION))
    end = next(token for token in ids[1:] if token not in (*asked, ids[0]))
    decoder = bundle.manifest.decoder
    ends = replace(decoder, eos_token_ids=(*decoder.eos_token_ids, end))
    stopped = Carve(Bundle(bundle.folder, replace(bundle.manifest, decoder=ends)))
    assert stopped.plain(SCENE, INSTRUCTION).token_ids == ids[: ids.index(end)]


def test_rows_are_those_of_the_tapped_layers(pocket: Carve) -> None:
    spec = replace(pocket.manifest.decoder, tapped_layers=(0, 2, 3))
    assert spec.rows([3, 0, 2]) == [2, 0, 1]


def prompt_text(question: str) -> str:
    return f"\nUSER: {question}\nASSISTANT:"


def prompt_tokens(question: str) -> int:
    """Length of a prompt after the image, by the checkpoint's own tokenizer."""
    return len(prompt_ids(prompt_text(question)))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("final_prompt", ["pair", "refined"])
def test_the_prefix_runs_once(pocket: Carve, variant: Variant, final_prompt: FinalPrompt) -> None:
    result = pocket.ask(SCENE, QUESTION, variant=variant, final_prompt=final_prompt)
    image = pocket.manifest.image.fewest_tokens
    prefix = 1 + image  # beginning of sequence, then the image
    question, general = prompt_tokens(QUESTION), prompt_tokens(pocket.manifest.prompts.general)
    steps = [len(result.question_attention), len(result.general_attention)]
    first_passes = prefix + question + steps[0] - 1 + general + steps[1] - 1
    final_steps = len(result.token_ids) + 1  # the last one predicts the end of the sequence
    second_image = image if final_prompt == "pair" else prefix
    final = second_image + question + final_steps - 1
    assert result.counts.decoder_tokens == first_passes + final
    assert result.counts.vision_runs == 2
    assert steps[1] <= (1 if variant != "v4" else steps[0])


def test_a_session_computes_what_depends_on_the_image_once(pocket: Carve) -> None:
    questions = [entry["question"] for entry in ENTRIES if entry["image"] == SCENE.name]
    image = pocket.manifest.image.fewest_tokens
    with pocket.open(SCENE) as session:
        for number, question in enumerate(questions):
            alone = pocket.ask(SCENE, question, final_prompt="pair")
            result = session.ask(question, final_prompt="pair")
            assert result.token_ids == alone.token_ids
            assert result.plain_token_ids == alone.plain_token_ids
            np.testing.assert_array_equal(result.mask, alone.mask)
            general = prompt_tokens(pocket.manifest.prompts.general)
            saved = 1 + image + (general if number else 0)
            assert result.counts.decoder_tokens == alone.counts.decoder_tokens - saved
            assert result.counts.vision_runs == 1
        assert session.plain(questions[0]).token_ids == pocket.plain(SCENE, questions[0]).token_ids


def test_a_session_runs_more_general_steps_when_they_are_needed(pocket: Carve) -> None:
    instruction = pocket.manifest.prompts.general
    with pocket.open(SCENE) as session:
        for variant, limit in (("v3", 8), ("v4", 4), ("v4", 8), ("v4", 3)):
            result = session.ask(instruction, variant=variant, max_new_tokens=limit)  # type: ignore[arg-type]
            alone = pocket.ask(SCENE, instruction, variant=variant, max_new_tokens=limit)  # type: ignore[call-overload]
            assert_close(result.general_attention, alone.general_attention)
            assert result.token_ids == alone.token_ids


def test_without_contrast_the_general_pass_does_not_run(pocket: Carve) -> None:
    result = pocket.ask(SCENE, QUESTION, steps="first", contrast="off")
    assert result.general_attention.shape == (0, *result.question_attention.shape[1:])
    assert "general" not in result.timings
    passes = result.question_attention, result.token_ids
    assert result.counts.decoder_runs == 1 + len(passes[0]) + len(passes[1]) + 1  # prefix, ends


def test_settings_in_force_are_reported(pocket: Carve) -> None:
    result = pocket.ask(SCENE, QUESTION, variant="v2", layers=[0, 3], mask_top_p=0.3)
    assert (result.settings.steps, result.settings.strategy) == ("first", "size")
    assert result.settings.layers == (0, 3)
    assert result.question_attention.shape[1] == 2
    assert result.settings.mask_top_p == 0.3
    assert result.settings.max_regions == pocket.manifest.defaults.max_regions
    with pytest.raises(SettingsError, match="there is no setting named 'top'"):
        pocket.ask(SCENE, QUESTION, top=3)  # type: ignore[call-overload]


def test_fields_of_a_result(pocket: Carve) -> None:
    result = pocket.ask(SCENE, QUESTION)
    height, width = load_image(SCENE).shape[:2]
    assert result.saliency.shape == result.mask.shape == (height, width)
    x0, y0, x1, y1 = result.bbox
    inside = result.mask[y0:y1, x0:x1]
    assert inside.sum() == result.mask.sum()
    assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
    assert result.refined_image.dtype == np.uint8
    assert not result.refined_limited
    assert 0 < result.entropy <= np.log(pocket.manifest.image.fewest_tokens)
    stages = {"decode", "preprocess", "vision", "prefix", "question", "general", "refine", "final"}
    assert set(result.timings) == stages | {"total"}
    assert sum(result.timings[stage] for stage in stages) <= result.timings["total"]


@pytest.mark.parametrize("final_prompt", ["pair", "refined"])
def test_a_large_refined_image_is_made_when_it_is_read(
    pocket: Carve, final_prompt: FinalPrompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pixels, and all that led to it, are what they are where it is made first."""
    photo = np.asarray(Image.open(SCENE).resize((1600, 1600), Image.Resampling.BICUBIC))
    options: Any = {"final_prompt": final_prompt, "variant": "v4"}
    expected = pocket.ask(photo, QUESTION, resize_refined="twice", **options)
    image = expected.refined_image
    with monkeypatch.context() as patched:
        patched.setattr(refine, "_magnify", lambda *_: pytest.fail("the large picture was made"))
        once = pocket.ask(photo, QUESTION, resize_refined="once", **options)
        unread = pocket.ask(photo, QUESTION, **options)
        assert unread.refined_size == image.shape[1::-1]
    assert unread.token_ids == once.token_ids
    actual = pocket.ask(photo, QUESTION, **options)
    np.testing.assert_array_equal(actual.refined_image, image)
    np.testing.assert_array_equal(actual.saliency, expected.saliency)
    np.testing.assert_array_equal(actual.mask, expected.mask)
    assert actual.refined_image is actual.refined_image
    assert actual.answer == expected.answer


def test_what_pictures_are_made_of_does_not_change(pocket: Carve) -> None:
    mine = load_image(SCENE).copy()
    result = pocket.ask(mine, QUESTION)
    mine[:] = 0
    for array in (result.image, result.mask):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0
    saliency, refined = result.saliency, result.refined_image
    copy = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(copy.refined_image, refined)
    np.testing.assert_array_equal(copy.saliency, saliency)
    np.testing.assert_array_equal(refined, refine_image(SCENE, result.mask)[0])


def test_a_small_limit_is_said(pocket: Carve) -> None:
    result = pocket.ask(SCENE, QUESTION, max_refined_pixels=10_000)
    assert result.refined_limited
    assert result.refined_image.shape[0] * result.refined_image.shape[1] <= 10_000


def test_every_kind_of_input_gives_the_same_answer(pocket: Carve) -> None:
    inputs: list[Any] = [
        SCENE,
        str(SCENE),
        SCENE.read_bytes(),
        Image.open(SCENE),
        load_image(SCENE),
    ]
    answers = {pocket.plain(image, QUESTION).token_ids for image in inputs}
    assert len(answers) == 1


def test_streamed_text_is_the_answer(pocket: Carve) -> None:
    tokens: list[Token] = []
    result = pocket.ask(SCENE, QUESTION, on_token=tokens.append, variant="v4", max_new_tokens=8)

    def streamed(stage: str) -> str:
        return "".join(token.text for token in tokens if token.stage == stage)

    assert streamed("question") == result.plain_answer
    assert streamed("final") == result.answer
    general: list[Token] = []
    instruction = pocket.manifest.prompts.general
    caption = pocket.plain(SCENE, instruction, on_token=general.append)
    assert len(general) > 1
    assert "".join(token.text for token in general) == caption.answer


def test_threads_share_one_instance(pocket: Carve) -> None:
    work = [(SCENES / entry["image"], entry["question"]) for entry in ENTRIES[:12]]

    def ask(pair: tuple[Any, str]) -> Any:
        result = pocket.ask(*pair, final_prompt="pair")
        return result.token_ids, result.plain_token_ids, result.bbox, result.mask.tobytes()

    alone = [ask(pair) for pair in work]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(ask, work))
    assert together == alone


def test_import_is_light() -> None:
    """Neither ONNX Runtime nor the exporter's packages are imported before they are needed."""
    code = (
        "import sys, carve_runtime\n"
        "heavy = {'onnxruntime', 'torch', 'transformers', 'onnx', 'scipy', 'click'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_load_without_a_folder_finds_the_default_bundle(pocket: Carve) -> None:
    assert Carve.load().manifest == pocket.manifest
