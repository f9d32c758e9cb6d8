"""Find the files beside a graph that its weights lie in, without a library for ONNX.

In: a graph's file. Out: the locations that it names, so that a bundle can be refused whose graph
reads what its manifest does not list. The format is protobuf's wire format, the numbers are those
of ``onnx.proto``; weights are skipped, not read.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

#: Field numbers of each message that lead to tensors, and the messages behind them.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_KEY, _VALUE = 1, 2
_LOCATION = b"location"

# Wire types.
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_MOST_VARINT_BITS = 64


def external_locations(path: Path) -> set[str]:
    """Return the locations of external data that an ONNX file names, relative to its folder.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no protobuf message.
    """
    with path.open("rb") as stream:
        if not stream.seek(0, 2):
            return set()
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return set(_locations(data))


def _locations(data: mmap.mmap) -> Iterator[str]:
    messages = [("model", 0, len(data))]
    while messages:
        kind, start, end = messages.pop()
        if kind == "entry":
            parts = [(number, data[a:b]) for number, a, b in _fields(data, start, end)]
            if (_KEY, _LOCATION) in parts:
                yield from (value.decode() for number, value in parts if number == _VALUE)
            continue
        inside = _INSIDE[kind]
        for number, first, last in _fields(data, start, end):
            if number in inside:
                messages.append((inside[number], first, last))


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of the fields of a message that have a length."""
    position = start
    while position < end:
        tag, position = _varint(data, position, end)
        wire = tag & 7
        if wire == _LENGTH:
            length, position = _varint(data, position, end)
            if position + length > end:
                raise ValueError("a field is longer than its message")
            yield tag >> 3, position, position + length
            position += length
        elif wire == _VARINT:
            _, position = _varint(data, position, end)
        elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
            position += 8 if wire == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"wire type {wire} is not in use")


def _varint(data: mmap.mmap, position: int, end: int) -> tuple[int, int]:
    """Return a number of variable length, and what follows it."""
    value = 0
    for shift in range(0, _MOST_VARINT_BITS, 7):
        if position >= end:
            break
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise ValueError("a number is cut off")
