"""The pages' commands and programs do what the pages say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents import blocks, require_output, run_page
from tests.support import ROOT

PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if any(blocks(page))
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(page, tmp_path)


@pytest.mark.parametrize("printed", ["one\ntwo\n", "", "one\nthree\n"])
def test_what_a_page_does_not_print(printed: str) -> None:
    with pytest.raises(AssertionError, match="page:3: expected"):
        require_output("one\n...o\nthree\n", printed, "page:3")
