"""The cases can tell a right consumer from a wrong one."""

from __future__ import annotations

import numpy as np

from carve_runtime import Carve
from carve_runtime.method.maps import METHODS
from tests.consumers.cases import CHANGES, CROPPED_CHANGES, IMAGE, QUESTION, Changes, Pair
from tools.checks.settings_table.table import offered_flags, offered_settings


def fingerprint(vlm: Carve, changes: Changes) -> tuple[object, ...]:
    result = vlm.ask(IMAGE, QUESTION, **changes)
    arrays = (result.mask.tobytes(), result.refined_image.tobytes())
    return (result.token_ids, result.plain_token_ids, result.bbox, *arrays)


def test_every_setting_makes_a_difference(pocket: Carve) -> None:
    """Without it the result differs: a consumer that ignores a setting fails."""
    noticed = set()
    for changes in CHANGES:
        result = fingerprint(pocket, changes)
        for name, value in changes.items():
            rest = {key: changes[key] for key in changes if key != name}
            if fingerprint(pocket, rest) != result:
                noticed |= {name, f"{name} {value}"}
    choices, numbers = offered_settings()
    defaults = pocket.manifest.defaults
    expected = {"layers", *offered_flags(), *(number.name for number in numbers)}
    expected |= {f"{number.name} auto" for number in numbers if number.auto}
    expected |= {
        f"{choice.name} {value}"
        for choice in choices
        for value in choice.values
        if value != getattr(defaults, choice.name)
    }
    assert expected - noticed == {
        "geometry released",  # the cropped pairs show it
        *("scout_pixels", "final_pixels"),  # the families do
        *(f"resize_refined {how}" for how in ("once", "twice")),  # of images larger than these
        *(f"method {name}" for name in METHODS if name not in ("contrast", "question")),  # refused
    }


def test_the_geometry_makes_a_difference(cropped_pairs: list[Pair]) -> None:
    half = len(cropped_pairs) // len(CROPPED_CHANGES)
    for seen, whole in zip(cropped_pairs[:half], cropped_pairs[half:], strict=True):
        assert np.isnan(seen.result.saliency).any()
        assert np.isfinite(whole.result.saliency).all()
        assert seen.result.bbox != whole.result.bbox


def test_both_passes_are_told_apart(pairs: list[Pair]) -> None:
    results = [pair.result for pair in pairs]
    assert any(result.answer != result.plain_answer for result in results)
    assert len({result.bbox for result in results}) == len(results)
    assert all(np.isfinite(result.saliency).all() for result in results)
