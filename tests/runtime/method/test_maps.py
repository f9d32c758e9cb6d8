"""Every method's map of small attention, worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pytest

from carve_models.errors import SettingsError
from carve_models.settings import MapMethod, Settings
from carve_runtime.method.maps import (
    CONTRASTS,
    METHODS,
    Fusion,
    Rows,
    make_map,
    method_of,
    needed_general_steps,
)
from carve_runtime.method.maps.agreement import INSTRUCTIONS, other_instructions
from carve_runtime.method.maps.rollout import AnswerRows
from tests.comparing import assert_close

EXACT = Fusion("first", regularizer=0.0)


def rows(
    question: Any, *general: Any, layers: tuple[int, ...] | None = None, answer: Any = None
) -> Rows:
    """Return rows of nested lists, (T, L, N)."""
    maps = np.array(question, np.float32)
    return Rows(
        maps,
        tuple(range(maps.shape[1])) if layers is None else layers,
        tuple(np.array(each, np.float32) for each in general),
        None if answer is None else np.array(answer, np.float32),
    )


@dataclass(frozen=True)
class Case:
    """What a method makes of some attention."""

    why: str
    method: MapMethod
    rows: Rows
    fusion: Fusion
    expected: list[float]


def peaks(*at: int) -> list[float]:
    """Return forty tokens, of which those at some places have ten times the mean or more."""
    return [0.5 if token in at else 0.0 for token in range(40)]


CASES = [
    Case("divided", "contrast", rows([[[4, 6]]], [[[2, 1]]]), EXACT, [2, 6]),
    Case("lambda", "contrast", rows([[[4, 6]]], [[[1, 1]]]), Fusion("first", 1.0), [2, 3]),
    Case(
        "weighted over the steps that both passes have",
        "contrast",
        rows([[[1, 2]], [[3, 4]], [[9, 9]]], [[[1, 1]], [[1, 2]]]),
        Fusion("all", 0.0),
        [1 + 2 * 3, 2 + 2 * 2],
    ),
    Case("summed over layers", "question", rows([[[1, 2], [3, 4]]]), EXACT, [4, 6]),
    Case(
        "every step of the question",
        "question",
        rows([[[1, 2]], [[3, 4]], [[5, 6]]]),
        Fusion("all"),
        [1 + 6 + 15, 2 + 8 + 18],
    ),
    Case("its last step", "question", rows([[[1, 2]], [[3, 4]]]), Fusion("last"), [3, 4]),
    Case("no lambda", "relative", rows([[[4, 6]]], [[[2, 1]]]), Fusion("first", 1.0), [2, 6]),
    Case("nothing at both", "relative", rows([[[0, 1]]], [[[0, 2]]]), EXACT, [0, 0.5]),
    Case(
        "two tokens hold the first layer, one the second",
        "sharpest_layer",
        rows([[[2, 2], [9, 1]]], [[[1, 1], [1, 1]]]),
        EXACT,
        [9, 1],
    ),
    Case(
        "the contrast is sharp, not the attention",
        "sharpest_layer",
        rows([[[9, 1], [1, 3]]], [[[9, 1], [1, 1]]]),
        EXACT,
        [1, 3],
    ),
    Case(
        "of equal layers the first",
        "sharpest_layer",
        rows([[[1, 2], [2, 4]]], [[[1, 1], [1, 1]]]),
        EXACT,
        [1, 2],
    ),
    Case(
        "what both passes attend to goes, what the question asks for stays",
        "sink_removal",
        rows([[peaks(3, 7)]], [[peaks(3, 8)]]),
        EXACT,
        peaks(7),
    ),
    Case(
        "a sink of one layer is none of another",
        "sink_removal",
        rows([[peaks(3), peaks(3)]], [[peaks(3), peaks(5)]]),
        EXACT,
        peaks(3),
    ),
    Case(
        "a token that receives much in one step alone stays",
        "sink_removal",
        rows([[peaks(3)], [peaks(4)]], [[peaks(3)], [peaks(3)]]),
        Fusion("last"),
        peaks(4),
    ),
    Case(
        "a sink in every step goes, a word's object stays",
        "sink_removal",
        rows([[peaks(3, 4)], [peaks(3, 5)]], [[peaks(3)], [peaks(3)]]),
        Fusion("all"),
        [0.5 * (token == 4) + 2 * 0.5 * (token == 5) for token in range(40)],
    ),
    Case(
        "half of what the only step of the only layer sees",
        "rollout",
        rows([[[0.4, 0.2]]], answer=[[[0.3]]]),
        EXACT,
        [0.2, 0.1],
    ),
    Case(
        "the second layer also sees what its own position has: (0.4 + 0.5 * 0.2 + 0.2) / 2",
        "rollout",
        rows([[[0.4, 0], [0.4, 0.8]]], answer=[[[0.5], [0.5]]]),
        EXACT,
        [0.35, 0.4],
    ),
    Case(
        "layers are followed upwards, however they are named",
        "rollout",
        rows([[[0.4, 0.8], [0.4, 0]]], answer=[[[0.5], [0.5]]], layers=(5, 2)),
        EXACT,
        [0.35, 0.4],
    ),
    Case(
        # Layer 0 leaves (0.4, 0) and (0, 0.2). Layer 1, the second step: what it sees itself is 0;
        # half of the first word, (0.2, 0), and 0.25 of its own position, (0, 0.05), and that again.
        "through the word before: (0.2, 0.05 + 0.2) / 2",
        "rollout",
        rows(
            [[[0.8, 0], [0, 0]], [[0, 0.4], [0, 0]]],
            answer=[[[0, 0], [0, 0]], [[0, 0], [0.5, 0.25]]],
        ),
        Fusion("last"),
        [0.1, 0.125],
    ),
    Case(
        "what one instruction overlooks does not count: least of (8, 2) / 10 and (1, 3) / 4",
        "agreement",
        rows([[[8, 2]]], [[[1, 1]]], [[[8, 2 / 3]]]),
        EXACT,
        [0.25, 0.2],
    ),
    Case("one instruction alone", "agreement", rows([[[8, 2]]], [[[1, 1]]]), EXACT, [0.8, 0.2]),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method}: {case.why}")
def test_maps_by_hand(case: Case) -> None:
    actual = make_map(METHODS[case.method], case.rows, case.fusion)
    assert actual.dtype == np.float64
    assert_close(actual, np.array(case.expected, np.float64), rtol=1e-6)


def test_every_method_has_a_case() -> None:
    assert {case.method for case in CASES} == set(METHODS) == set(get_args(MapMethod))


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_finite_is_refused(method: MapMethod) -> None:
    nothing = np.full((1, 1, 2), np.nan, np.float32)
    read = Rows(nothing, (0,), (nothing, nothing), nothing[..., :1])
    with pytest.raises(SettingsError, match="not finite"):
        make_map(METHODS[method], read, EXACT)


def test_rollout_needs_the_rows_between_words() -> None:
    with pytest.raises(SettingsError, match="between the words"):
        make_map(METHODS["rollout"], rows([[[1, 2]]]), EXACT)


def test_off_is_the_method_question() -> None:
    chosen = Settings(layers=(0,))
    assert method_of(chosen) is METHODS["contrast"] is CONTRASTS["on"]
    assert method_of(chosen.override(contrast="off")) is METHODS["question"]
    assert method_of(chosen.override(method="question")) is METHODS["question"]
    assert method_of(chosen.override(method="relative", contrast="off")) is METHODS["relative"]


@pytest.mark.parametrize("method", METHODS)
def test_general_passes_run_as_far_as_they_are_read(method: MapMethod) -> None:
    settings = Settings(layers=(0,), method=method, steps="all")
    reads = METHODS[method].general != "none"
    assert needed_general_steps(settings, 7) == 7 * reads
    assert needed_general_steps(settings.override(steps="first"), 7) == reads


def test_the_bundles_own_instruction_is_not_taken_twice() -> None:
    settings = Settings(layers=(0,))
    assert other_instructions(settings, INSTRUCTIONS[1]) == (INSTRUCTIONS[0], *INSTRUCTIONS[2:])
    assert other_instructions(settings.override(general_instructions=["A", "B"]), "B") == ("A",)


def test_the_rows_of_an_answer() -> None:
    """Three of the prompt's tokens, two words: the last position of the prompt is the first."""
    read = AnswerRows()
    read(np.array([[0.1, 0.2, 0.7]], np.float32), 5)
    read(np.array([[0.1, 0.2, 0.3, 0.4]], np.float32), 6)
    assert_close(read.result(), np.array([[[0.7, 0]], [[0.3, 0.4]]], np.float32), rtol=1e-6)
