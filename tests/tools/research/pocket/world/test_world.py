"""The generator: reproducible, splits apart, questions true to the picture."""

from __future__ import annotations

import numpy as np

from tools.research.pocket.training.tokenizer import build_tokenizer
from tools.research.pocket.world.cases import cases
from tools.research.pocket.world.fonts import FONTS
from tools.research.pocket.world.labels import patch_labels
from tools.research.pocket.world.questions import caption, place, sample_questions
from tools.research.pocket.world.scenes import SMALL, sample_scene
from tools.research.pocket.world.views import OBJECT, Objects, sample_view
from tools.research.pocket.world.vocabulary import COLOR_NAMES, PLACES, SHAPE_NAMES, TEXTS, WORDS


def row(
    color: str, shape: str, x: float, y: float, side: float = 30, text: int = -1
) -> tuple[object, ...]:
    return x, y, side, side, 1.0, COLOR_NAMES.index(color), SHAPE_NAMES.index(shape), text


def objects(*rows: tuple[object, ...]) -> Objects:
    return np.array(list(rows), OBJECT)


def test_the_same_seed_gives_the_same_view() -> None:
    first, second = (sample_view(np.random.default_rng(3), "train") for _ in range(2))
    assert np.array_equal(first.pixels, second.pixels)
    assert np.array_equal(first.objects, second.objects)


def test_training_never_sees_the_fonts_of_the_test_split() -> None:
    assert not set(FONTS["train"]) & set(FONTS["test"])


def test_items_of_a_scene_have_names_of_their_own() -> None:
    scene = sample_scene(np.random.default_rng(1), "test", objects=25, sides=SMALL, distractors=3)
    names = [(item.color, item.shape) for item in scene.items]
    assert len(set(names)) == len(names)
    assert sum(item.is_distractor for item in scene.items) == 3


def test_no_word_is_another_one_reversed() -> None:
    assert not {word[::-1] for word in WORDS} & set(WORDS)


def test_a_caption_names_distractors_and_reads_row_by_row() -> None:
    view = objects(
        row("red", "square", 100, 10),
        row("blue", "circle", 20, 15),
        row("green", "cross", 10, 110),
        row("white", "sign", 60, 60),
    )
    expected = "a sign, few objects: blue circle, red square, green cross"
    assert caption(view) == expected


def test_places_are_ninths() -> None:
    assert place(1, 1) == "top left"
    assert place(119, 60) == "middle right"


def test_answers_have_one_to_four_tokens() -> None:
    tokenizer, rng = build_tokenizer(), np.random.default_rng(2)
    lengths = set()
    for _ in range(60):
        for question in sample_questions(rng, sample_view(rng, "train").objects):
            if question.kind != "caption":
                ids = tokenizer(f" {question.answer}", add_special_tokens=False).input_ids
                lengths.add(len(ids))
    assert {1, 2} <= lengths <= {1, 2, 3, 4}


def test_special_tokens_and_text_survive_the_tokenizer() -> None:
    tokenizer = build_tokenizer()
    text = "\nUSER: What word is on the red square?\nASSISTANT: naïve 東京"
    ids = tokenizer(text).input_ids
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids[1:]) == text


def test_a_readable_text_is_labelled_where_it_stands() -> None:
    labels = patch_labels(objects(row("red", "square", 60, 60, side=40, text=3)))
    texts = labels.text.reshape(12, 12)
    assert texts[5, 5] == 4
    assert texts[0, 0] == 0
    assert TEXTS[texts.max() - 1] == TEXTS[3]


def test_every_patch_of_an_object_is_labelled_with_the_objects_place() -> None:
    labels = patch_labels(objects(row("red", "square", 100, 100, side=40)))
    assert {PLACES[place] for place in labels.place[labels.color > 0]} == {"bottom right"}


def test_cases_are_reproducible_and_answerable() -> None:
    first, second = (list(cases("dev", "small", 2)) for _ in range(2))
    assert [case.question for case in first] == [case.question for case in second]
    for case in first:
        assert case.target is not None
        assert case.target.text == case.answer
