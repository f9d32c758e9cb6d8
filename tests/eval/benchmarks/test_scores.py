"""Metrics, compared with values worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from carve_eval.benchmarks.aokvqa import AOKVQADirect
from carve_eval.benchmarks.benchmark import Question
from carve_eval.benchmarks.choices import read_choice, share_unnamed
from carve_eval.benchmarks.pope import Pope, read_label
from carve_eval.benchmarks.vqa import normalize_answer, vqa_accuracy

CASES = yaml.safe_load(Path(__file__).with_name("scores.yaml").read_text())


@pytest.mark.parametrize(("answer", "expected"), CASES["normalized"])
def test_normalization(answer: str, expected: str) -> None:
    assert normalize_answer(answer) == expected


@pytest.mark.parametrize(
    ("agreeing", "expected"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)]
)
def test_vqa_accuracy_of_ten_answers(agreeing: int, expected: float) -> None:
    people = ["The Two."] * agreeing + ["red"] * (10 - agreeing)
    assert vqa_accuracy("2", people) == pytest.approx(expected)


@pytest.mark.parametrize(("answer", "options", "index", "named"), CASES["choices"])
def test_choices(answer: str, options: list[str], index: int | None, named: bool) -> None:
    choice = read_choice(answer, options)
    assert (choice.index, choice.named) == (index, named)


def test_the_share_that_names_no_option() -> None:
    options = [["red", "blue"]] * 4
    assert share_unnamed(["A", "blue", "bluish", ""], options) == 0.5


@pytest.mark.parametrize(("answer", "expected"), CASES["labels"])
def test_labels(answer: str, expected: str) -> None:
    assert read_label(answer) == expected


def _polled(labels: list[str]) -> list[Question]:
    return [
        Question(id=str(number), image=Path("x.jpg"), prompt="?", references=(label,))
        for number, label in enumerate(labels)
    ]


def test_popes_measures_by_hand() -> None:
    questions = _polled(["yes", "yes", "yes", "no", "no", "no", "no", "no"])
    answers = ["yes", "Yes", "no", "yes", "yes", "no", "no", "no"]
    # Two hits, two false alarms, one miss, three right "no".
    assert [Pope().score(*pair) for pair in zip(questions, answers, strict=True)] == [
        *(1, 1, 0),
        *(0, 0, 1, 1, 1),
    ]
    measures = Pope().measures(questions, answers)
    assert measures == pytest.approx(
        {"precision": 2 / 4, "recall": 2 / 3, "F1": 4 / 7, "yes": 4 / 8}
    )


def test_popes_measures_where_they_are_undefined() -> None:
    measures = Pope().measures(_polled(["no", "no"]), ["no", "no"])
    assert measures.pop("yes") == 0
    assert all(math.isnan(value) for value in measures.values())


@pytest.mark.parametrize(("agreeing", "expected"), [(0, 0), (1, 1 / 3), (2, 2 / 3), (3, 1), (9, 1)])
def test_aokvqas_direct_answers(agreeing: int, expected: float) -> None:
    people = ("a train",) * agreeing + ("bus",) * (10 - agreeing)
    question = Question(id="0", image=Path("x.jpg"), prompt="?", references=people)
    assert AOKVQADirect().score(question, "Train.") == pytest.approx(expected)
