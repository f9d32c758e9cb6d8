"""``Settings.method`` on a real bundle: what is read for it, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from carve_runtime import Carve, PromptError, SettingsError, Token
from carve_runtime.method.maps import METHODS, Fusion, Rows, make_map
from carve_runtime.method.maps.agreement import INSTRUCTIONS
from carve_runtime.method.placement import place
from tests.comparing import assert_close
from tests.support import SCENES

SCENE = SCENES / "scene-02.jpg"
QUESTION = "What letter is on the red diamond?"
LAYERS = (3, 0, 1)
EVERY: Any = {"layers": LAYERS, "steps": "all"}


def attended(vlm: Carve, text: str, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the attention to the image and between the steps, by :meth:`Carve.attend`."""
    attention = vlm.attend(SCENE, text, generate=steps)
    rows = attention.rows[:, [attention.layers.index(layer) for layer in LAYERS]]
    last = rows.shape[-1] - attention.steps
    return rows[..., attention.map_tokens], rows[..., last:]


@pytest.mark.parametrize("method", METHODS)
def test_a_saliency_is_that_of_the_rows_that_were_attended_to(pocket: Carve, method: Any) -> None:
    result = pocket.ask(SCENE, QUESTION, method=method, **EVERY)
    settings = result.settings
    image, between = attended(pocket, QUESTION, settings.max_new_tokens)
    texts = {"none": (), "own": INSTRUCTIONS[:1], "several": INSTRUCTIONS}[METHODS[method].general]
    general = tuple(attended(pocket, text, len(image))[0] for text in texts)
    rows = Rows(image, LAYERS, general, between)
    fusion = Fusion("all", settings.regularizer)
    expected = make_map(METHODS[method], rows, fusion).reshape(result.grid)
    height, width = result.image.shape[:2]
    assert_close(result.saliency, place(expected, (width, height), result.window), rtol=1e-4)
    assert len(result.general_attention) == (len(general[0]) if general else 0)
    assert result.answer


def test_instructions_that_are_given_are_asked_once(pocket: Carve) -> None:
    texts = ("What is this?", "Describe everything.")
    with pocket.open(SCENE) as session:
        heard: list[Token] = []
        first = session.ask(
            QUESTION, method="agreement", general_instructions=texts, on_token=heard.append
        )
        again = session.ask(QUESTION, method="agreement", general_instructions=texts)
        usual = session.ask(QUESTION, method="agreement")
    assert sum(token.stage == "general" for token in heard) >= 1 + len(texts)
    assert again.counts.decoder_tokens < first.counts.decoder_tokens
    np.testing.assert_array_equal(first.saliency, again.saliency)
    assert (first.saliency != usual.saliency).any()


@pytest.mark.parametrize("method", [name for name in METHODS if name != "rollout"])
def test_an_early_exit_reads_the_same(pocket: Carve, method: Any) -> None:
    options: Any = {"method": method, "steps": "first"}
    whole = pocket.ask(SCENE, QUESTION, **options)
    early = pocket.ask(SCENE, QUESTION, early_exit=True, **options)
    assert early.plain_answer is None
    assert early.answer == whole.answer
    assert_close(early.saliency, whole.saliency, rtol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_the_adaptive_mode_reads_no_general_instruction(pocket: Carve, method: Any) -> None:
    sure: Any = {"adaptive": True, "sure_probability": 0.0, "focused_entropy": 100.0}
    result = pocket.ask(SCENE, QUESTION, method=method, **sure)
    assert result.skipped
    assert result.answer == result.plain_answer
    assert len(result.general_attention) == 0


def test_a_session_keeps_a_bounded_number_of_instructions(pocket: Carve) -> None:
    with pocket.open(SCENE) as session:
        sizes = []
        for number in range(20):
            instructions = [f"Instruction {number}."]
            session.ask(QUESTION, method="agreement", general_instructions=instructions)
            sizes.append(session.nbytes)
    assert sizes[1] > sizes[0]
    assert sizes[-1] == sizes[-2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "best"}, r"method is 'best'\. Choose one of contrast, question, relative"),
        ({"method": "rollout", "steps": "first", "early_exit": True}, "rollout follows the words"),
        ({"general_instructions": []}, r"general_instructions is \(\)\. Give a list of 1 to 16"),
        ({"general_instructions": "Describe."}, "general_instructions is 'Describe.'"),
        ({"general_instructions": ["A", "A"]}, "different texts"),
        ({"general_instructions": ["A", " "]}, "different texts"),
        ({"general_instructions": [["A"]]}, "different texts"),
        ({"general_instructions": [str(i) for i in range(17)]}, "1 to 16"),
    ],
)
def test_refusals(pocket: Carve, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        pocket.ask(SCENE, QUESTION, **changes)


def test_an_instruction_longer_than_the_context_is_refused_before_anything_runs(
    pocket: Carve,
) -> None:
    heard: list[Token] = []
    with pytest.raises(PromptError, match="positions"):
        pocket.ask(
            SCENE,
            QUESTION,
            method="agreement",
            general_instructions=["what " * 2000],
            on_token=heard.append,
        )
    assert not heard
