"""docs/languages.md says of each library what its code says."""

from __future__ import annotations

import pytest

from tools.checks import feature_table
from tools.checks.feature_table import PAGE, missing, with_tables


def test_the_page_is_made_from_the_table() -> None:
    remedy = "run python -m tools.checks.feature_table --write"
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_tables(page), remedy


def test_every_name_is_in_the_code() -> None:
    assert missing() == []


@pytest.mark.parametrize(
    ("library", "name"),
    [
        ("Python", "Carve.answer"),
        ("Python", "Carve.ask(colour)"),
        ("C", "carve_answer"),
        ("C", "carve_reading.colour"),
        ("C", "carve_ask_options.saliency"),
        ("JavaScript", "Carve.answer"),
        ("JavaScript", "Settings.onToken"),
    ],
)
def test_what_is_not_in_the_code_is_noticed(
    library: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    feature = feature_table.Feature("something", {library: name})
    monkeypatch.setattr(feature_table, "features", lambda: [feature])
    assert missing() == [f"{library}: {name}"]
