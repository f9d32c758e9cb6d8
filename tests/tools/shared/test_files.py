"""Files and folders appear complete or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from carve_models.replacing import replacing, write_json
from tools.shared.files import kept, write_once


def tear(file: Path) -> None:
    file.write_text("torn")
    raise RuntimeError


def test_a_file_is_replaced_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    for text in ("first", "second"):
        with replacing(path) as aside:
            aside.write_text(text)
            assert aside.suffix == path.suffix
        assert path.read_text() == text
    with pytest.raises(RuntimeError), replacing(path) as aside:
        tear(aside)
    assert path.read_text() == "second"
    assert list(path.parent.iterdir()) == [path]


def test_what_is_kept_is_made_once(tmp_path: Path) -> None:
    path, values = tmp_path / "a.json", iter([{"a": (1.5, 2.5)}])
    for _ in range(2):
        assert kept(path, dict[str, tuple[float, float]], lambda: next(values)) == {"a": (1.5, 2.5)}
    write_json(path, {"a": [3, 4]})
    assert kept(path, dict[str, tuple[float, float]], dict) == {"a": (3, 4)}


def test_a_folder_is_written_once_and_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    with pytest.raises(RuntimeError):
        write_once(folder, lambda aside: tear(aside / "torn"))
    assert not folder.exists()
    write_once(folder, lambda aside: (aside / "whole").touch())
    write_once(folder, lambda aside: tear(aside / "torn"))
    assert [file.name for file in folder.iterdir()] == ["whole"]
