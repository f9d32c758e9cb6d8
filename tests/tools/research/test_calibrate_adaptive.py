from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.research.calibrate_adaptive import Asked, choose

QUESTIONS = st.lists(
    st.builds(Asked, st.floats(0, 1), st.floats(0, 6), st.booleans(), st.booleans()),
    min_size=1,
    max_size=60,
)


@settings(deadline=None)
@given(QUESTIONS)
def test_no_right_answer_is_lost_on_the_split(asked: list[Asked]) -> None:
    chosen = choose(asked)
    skipped = [
        question.probability >= chosen.probability and question.entropy <= chosen.entropy
        for question in asked
    ]
    right = [
        question.plain if skip else question.carve
        for question, skip in zip(asked, skipped, strict=True)
    ]
    assert np.mean(right) >= np.mean([question.carve for question in asked])
    if chosen.skipped:
        assert np.isclose(np.mean(skipped), chosen.skipped)
        assert np.isclose(np.mean(right), chosen.accuracy)


def test_everything_is_skipped_where_plain_is_as_good() -> None:
    asked = [Asked(p, 2.0, plain=True, carve=True) for p in (0.3, 0.6, 0.9)]
    assert choose(asked).skipped == 1


def test_the_unsure_are_refined() -> None:
    sure = [Asked(0.99, 1.0, plain=True, carve=True)] * 5
    unsure = [Asked(0.4, 1.0, plain=False, carve=True)] * 5
    assert choose([*sure, *unsure]).skipped == 0.5
