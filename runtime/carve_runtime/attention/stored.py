"""Attention as a file: ``.npz`` of numpy, with what is no array as JSON in it."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from carve_models.errors import CarveError, SchemaError, SettingsError
from carve_models.replacing import replacing

#: Of the files that this version writes and reads.
SCHEMA_VERSION = 1
#: Most bytes that a file may take in memory.
MOST_BYTES = 1 << 32
_ARRAYS = {"rows": np.float32, "ids": np.int64, "map_tokens": np.int64}
_MEAN, _HEADS = 3, 4  # axes of rows


class _Version(msgspec.Struct, frozen=True):
    schema_version: int


class _About(_Version, frozen=True, forbid_unknown_fields=True):
    """What is no array."""

    layers: tuple[int, ...]
    tokens: tuple[str, ...]
    words: tuple[str, ...]
    answer: str
    grid: tuple[int, int]
    window: tuple[float, float, float, float]
    image_size: tuple[int, int]


def write_attention(path: Path, fields: Mapping[str, Any]) -> None:
    """Write the fields of an :class:`carve_runtime.Attention`, complete or not at all.

    Raises:
        SettingsError: the name does not end in ``.npz``.
        OSError: the file cannot be written.
    """
    if path.suffix != ".npz":
        raise SettingsError(f"{path} is not named .npz", "end the name in .npz")
    plain = {name: value for name, value in fields.items() if name not in _ARRAYS}
    about = msgspec.json.encode(_About(SCHEMA_VERSION, **plain))
    arrays = {name: fields[name] for name in _ARRAYS}
    with replacing(path) as aside:
        np.savez_compressed(aside, about=np.frombuffer(about, np.uint8), **arrays)


def read_attention(path: Path) -> dict[str, Any]:
    """Return the fields that :func:`write_attention` has written; nothing in the file is executed.

    Raises:
        SettingsError: the file is missing, damaged, too large, or holds something else.
        SchemaError: another version wrote it.
    """
    try:
        fields = _read(path)
        _require_consistent(fields)
    except CarveError:
        raise
    except Exception as error:  # whatever zipfile, numpy and its parser of headers raise
        raise SettingsError(
            f"{path} cannot be read as attention: {error}", "give a file that Attention.save wrote"
        ) from error
    return fields


def _read(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
        if size > MOST_BYTES:
            raise ValueError(f"it takes {size} bytes, more than {MOST_BYTES}")
        for entry in archive.infolist():
            with archive.open(entry) as stream:
                _require_size(stream, entry)
    with np.load(path, allow_pickle=False) as stored:
        document = stored["about"].tobytes()
        version = msgspec.json.decode(document, type=_Version).schema_version
        if version != SCHEMA_VERSION:
            raise SchemaError(
                f"{path} has the schema {version}, this version reads {SCHEMA_VERSION}",
                "save it again with this version",
            )
        arrays = {name: stored[name] for name in _ARRAYS}
    about = msgspec.json.decode(document, type=_About)
    plain = {name: getattr(about, name) for name in about.__struct_fields__}
    del plain["schema_version"]
    return {**arrays, **plain}


def _require_size(stream: IO[bytes], entry: zipfile.ZipInfo) -> None:
    """Raise :class:`ValueError` unless an array is as large as its header says."""
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"{entry.filename} has the format {version}")
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    if stream.tell() + math.prod(shape) * dtype.itemsize != entry.file_size:
        raise ValueError(f"{entry.filename} is no array of {shape}")


def _require_consistent(fields: Mapping[str, Any]) -> None:
    """Raise :class:`ValueError` unless the parts of a file belong together."""
    rows, ids, tokens = (fields[name] for name in _ARRAYS)
    for name, dtype in _ARRAYS.items():
        if fields[name].dtype != dtype:
            raise ValueError(f"{name} is {fields[name].dtype}")
    columns, lines = fields["grid"]
    consistent = (
        rows.ndim in (_MEAN, _HEADS)
        and rows.shape[:2] == (len(fields["words"]), len(fields["layers"]))
        and ids.shape == (len(fields["tokens"]),) == rows.shape[-1:]
        and 0 < len(rows) <= len(ids)
        and rows.size > 0
        and min(columns, lines) > 0
        and tokens.shape == (columns * lines,)
        and bool(((tokens >= 0) & (tokens < len(ids))).all())
        and min(fields["image_size"]) > 0
    )
    if not consistent:
        raise ValueError("its parts do not fit together")
