"""Questions from files and answers into files: Parquet, or JSON Lines."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carve_models.errors import RecordError, first_line
from carve_models.replacing import appearing
from carve_runtime.ray_data.columns import import_arrow, require_columns
from carve_runtime.ray_data.dataset import import_ray_data

if TYPE_CHECKING:
    from ray.data import Dataset

#: Fewest rows of a file of answers, the last apart: millions of answers are not millions of files.
_ROWS_OF_A_FILE = 10_000


def _parquet_columns(path: Path) -> list[str]:
    import_arrow()
    from pyarrow.parquet import read_schema

    return list(read_schema(path).names)


def _json_columns(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as stream:
        first = json.loads(stream.readline() or "{}")
    if not isinstance(first, dict):
        raise ValueError("its first line is no object")
    return list(first)


@dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes:
        suffixes: which files have it.
        columns: returns the names of a file's columns, or raises what is wrong with the file.
        read: the function of ``ray.data`` that reads such files, and its options.
        write: the method of a dataset that writes them.
    """

    suffixes: tuple[str, ...]
    columns: Callable[[Path], list[str]]
    read: tuple[str, dict[str, Any]]
    write: str


FORMATS = {
    "parquet": Format((".parquet",), _parquet_columns, ("read_parquet", {}), "write_parquet"),
    "jsonl": Format(
        (".jsonl", ".ndjson", ".json"),
        _json_columns,
        ("read_json", {"lines": True, "file_extensions": None}),
        "write_json",
    ),
}


@dataclass(frozen=True)
class Questions:
    """Files of questions that were looked at: they are there, and have the columns that they need.

    Attributes:
        files: all of one format.
        format: which.
    """

    files: tuple[Path, ...]
    format: Format

    @classmethod
    def find(cls, path: str | os.PathLike[str]) -> Questions:
        """Look at a file, or at the files in a folder.

        Raises:
            DependencyError: it is Parquet, and Arrow is not installed.
            RecordError: there are none, they are of different formats, one cannot be read, or has
                no column ``image`` or ``question``.
        """
        path = Path(path).absolute()
        every = sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
        by_suffix = {suffix: each for each in FORMATS.values() for suffix in each.suffixes}
        files = [file for file in every if file.suffix in by_suffix]
        formats = {id(by_suffix[file.suffix]): by_suffix[file.suffix] for file in files}
        if len(formats) != 1:
            found = "files of both formats" if formats else "no questions"
            raise RecordError(
                f"{path} has {found}",
                f"give a file or a folder of files: {', '.join(by_suffix)}",
            )
        (kind,) = formats.values()
        for file in files:
            try:
                columns = kind.columns(file)
            except (OSError, ValueError) as error:  # what Arrow finds wrong is a ValueError
                raise RecordError(
                    f"{file} cannot be read: {first_line(error)}", "write the file again"
                ) from error
            require_columns(columns, str(file))
        return cls(tuple(files), kind)

    @property
    def folder(self) -> Path:
        """Where they are."""
        return self.files[0].parent

    def read(self) -> Dataset:
        """Return them as a dataset.

        Raises:
            DependencyError: Ray is not installed.
        """
        function, options = self.format.read
        dataset: Dataset = getattr(import_ray_data(), function)(
            list(map(str, self.files)), **options
        )
        return dataset


def read_questions(path: str | os.PathLike[str]) -> Dataset:
    """Return the questions of a file or a folder as a dataset; see :meth:`Questions.find`."""
    return Questions.find(path).read()


def write_answers(answers: Dataset, folder: str | os.PathLike[str], kind: str = "parquet") -> None:
    """Compute a dataset and write it as a folder of files, which appears whole or not at all.

    Args:
        answers: what :func:`ask_dataset` returns.
        folder: a folder that all machines of the cluster see, where nothing is yet.
        kind: "parquet" or "jsonl".

    Raises:
        SettingsError: something is there.
        OSError: it cannot be written.
    """
    with appearing(Path(folder).absolute()) as aside:
        write = getattr(answers, FORMATS[kind].write)
        write(str(aside), min_rows_per_file=_ROWS_OF_A_FILE)
