"""Which weights the graphs of a prepared bundle read, and from where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from carve_models.errors import BundleError
from carve_models.replacing import write_json

_FILE = "weights.json"


@dataclass(frozen=True)
class Place:
    """One copy of a weight.

    Attributes:
        parameter: the checkpoint's name of it.
        file: path of the file, in the bundle's folder.
        offset: where it begins there, in bytes.
        shape: as the model has it.
        transposed: whether the file has it as (columns, rows).
    """

    parameter: str
    file: str
    offset: int
    shape: tuple[int, ...]
    transposed: bool = False


@dataclass(frozen=True)
class Plan:
    """Every weight of a bundle.

    Attributes:
        dtype: of all of them.
        places: where they stand.
        sizes: bytes of each file.
    """

    dtype: str
    places: tuple[Place, ...]
    sizes: dict[str, int]

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return sum(self.sizes.values())


def write_plan(folder: Path, plan: Plan) -> None:
    """Write a plan into a bundle's folder."""
    write_json(folder / _FILE, plan)


def read_plan(folder: Path) -> Plan:
    """Read the plan of a prepared bundle.

    Raises:
        BundleError: there is none.
    """
    path = folder / _FILE
    if not path.is_file():
        raise BundleError(
            f"{folder} is not prepared: {path.name} is missing",
            "run python -m tools.gpu_check.prepare",
        )
    return msgspec.json.decode(path.read_bytes(), type=Plan)
