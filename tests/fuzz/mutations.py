"""How inputs are damaged: documents where they have structure, bytes in bits and chunks."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

#: Values that readers of JSON tend not to expect.
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 3, 255, 256, 1 << 15, 1 << 16, 1 << 31, 1 << 32, 1 << 53),
    *(1 << 63, 1 << 64, 10**30, -(10**30), 0.5, -0.0, 1e-300, 1e300, float("inf"), float("nan")),
    *("", " ", "a\0b", "../x", "/etc/passwd", "auto", "float32", "1", "\ud800", "é" * 300),
    *([], {}, [[]], [None], {"": None}),
]
#: Numbers that sizes and offsets of binary formats tend to break at.
_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_WIDTHS = (1, 2, 4, 8)
#: Stands for lists in lists, deeper than Python writes them.
_NESTED = "many lists"
_DEEP = 100_000
_LONGEST = 64  # bytes of a chunk
_MOST_EDITS = 2

Path = tuple[Any, ...]


def places(document: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the way to every value below a document's root."""
    readers: dict[type, Callable[[Any], Any]] = {dict: dict.items, list: enumerate}
    read = readers.get(type(document))
    for key, value in read(document) if read else ():
        yield (*path, key)
        yield from places(value, (*path, key))


def _at(document: Any, path: Path) -> Any:
    for key in path:
        document = document[key]
    return document


def document_edits(document: Any, most: int = _MOST_EDITS) -> Any:
    """Return a strategy of edits of a JSON document, for :func:`edited`.

    An edit is ``[path, how, value]``. Values are odd ones, others of the document, and neighbours
    of the one that stands there.
    """
    ways = sorted(places(document), key=len)
    others = [_at(document, way) for way in ways]
    small = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
        max_leaves=4,
    )

    def edit(path: Path) -> Any:
        value = st.sampled_from(ODD) | st.sampled_from(others) | small
        here = _at(document, path)
        if isinstance(here, (int, float)):
            near = [here + 1, here - 1, here * 2, -here, here * 1000, float(here), str(here)]
            value = st.sampled_from(near) | st.sampled_from(near) | value
        replaced = st.tuples(st.just(path), st.just("replace"), value)
        whole = st.sampled_from(["remove", "twice", "nest", "deep"])
        return (
            replaced
            | replaced
            | st.tuples(st.just(path), whole, st.none())
            | st.tuples(st.just(path), st.just("rename"), st.text(max_size=8))
        )

    return st.lists(st.sampled_from(ways).flatmap(edit), min_size=1, max_size=most)


def edited(document: Any, edits: list[Any]) -> Any:
    """Return an edited copy; an edit whose place an earlier one removed changes nothing."""
    document = copy.deepcopy(document)
    for (*way, key), how, value in edits:
        try:
            holder = _at(document, tuple(way))
            _EDITS[how](holder, key, value)
        except (KeyError, IndexError, TypeError, AttributeError):
            continue
    return document


def written(document: Any) -> bytes:
    """Return a document as JSON."""
    text = json.dumps(document)
    return text.replace(json.dumps(_NESTED), "[" * _DEEP + "]" * _DEEP).encode()


def _replace(holder: Any, key: Any, value: Any) -> None:
    holder[key] = value


def _remove(holder: Any, key: Any, _: Any) -> None:
    del holder[key]


def _twice(holder: Any, key: Any, _: Any) -> None:
    if isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    else:
        holder[f"{key}2"] = copy.deepcopy(holder[key])


def _rename(holder: Any, key: Any, name: Any) -> None:
    holder[name] = holder.pop(key)


def _nest(holder: Any, key: Any, _: Any) -> None:
    holder[key] = [holder[key]]


def _deep(holder: Any, key: Any, _: Any) -> None:
    holder[key] = _NESTED


_EDITS: dict[str, Callable[[Any, Any, Any], None]] = {
    "replace": _replace,
    "remove": _remove,
    "twice": _twice,
    "rename": _rename,
    "nest": _nest,
    "deep": _deep,
}


def byte_edits(size: int, *, keep_size: bool = False, most: int = 2 * _MOST_EDITS) -> Any:
    """Return a strategy of edits of ``size`` bytes, for :func:`damaged`.

    An edit is ``[how, where, ...]``; places are spread evenly, and the first 256 bytes, where
    formats declare sizes, are as likely as all others.
    """
    where = st.integers(0, min(size - 1, 255)) | st.integers(0, size - 1)
    length = st.integers(1, _LONGEST)
    number = st.tuples(st.sampled_from(_EDGES), st.sampled_from(_WIDTHS), st.booleans())
    edits = [
        st.tuples(st.just("flip"), where, st.integers(0, 7)),
        st.tuples(st.just("set"), where, st.integers(0, 255)),
        st.tuples(st.just("number"), where, number),
        st.tuples(st.just("copy"), where, st.tuples(st.integers(0, size - 1), length)),
    ]
    if not keep_size:
        edits += [
            st.tuples(st.just("cut"), where, st.none()),
            st.tuples(st.just("remove"), where, length),
            st.tuples(st.just("insert"), where, st.binary(max_size=_LONGEST).map(bytes.hex)),
        ]
    return st.lists(st.one_of(edits), min_size=1, max_size=most)


def damaged(data: bytes, edits: list[Any]) -> bytes:
    """Return a damaged copy."""
    result = bytearray(data)
    for how, at, value in edits:
        if at < len(result):
            _BYTE_EDITS[how](result, at, value)
    return bytes(result)


def _flip(data: bytearray, at: int, bit: int) -> None:
    data[at] ^= 1 << bit


def _set(data: bytearray, at: int, value: int) -> None:
    data[at] = value


def _number(data: bytearray, at: int, number: Any) -> None:
    value, width, big = number
    encoded = (value % (1 << 8 * width)).to_bytes(width, "big" if big else "little")
    end = min(at + width, len(data))
    data[at:end] = encoded[: end - at]


def _copy(data: bytearray, at: int, source: Any) -> None:
    begin, length = source
    chunk = data[begin : begin + min(length, len(data) - at)]
    data[at : at + len(chunk)] = chunk


def _cut(data: bytearray, at: int, _: Any) -> None:
    del data[at:]


def _remove_bytes(data: bytearray, at: int, length: int) -> None:
    del data[at : at + length]


def _insert(data: bytearray, at: int, chunk: str) -> None:
    data[at:at] = bytes.fromhex(chunk)


_BYTE_EDITS: dict[str, Callable[[bytearray, int, Any], None]] = {
    "flip": _flip,
    "set": _set,
    "number": _number,
    "copy": _copy,
    "cut": _cut,
    "remove": _remove_bytes,
    "insert": _insert,
}


def described(**parts: Any) -> Any:
    """Return a strategy of JSON objects as ``bytes``, of a strategy for each key."""
    return st.fixed_dictionaries(parts).map(lambda drawn: json.dumps(drawn).encode())
