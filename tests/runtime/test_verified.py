"""SHA-256 sums are compared once, and again whenever anything about a file is different."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from carve_runtime import BundleError, Carve, verified
from carve_runtime.bundle import open_bundle
from carve_runtime.cli.main import main
from carve_runtime.verified import MOST_FILES, FileState, VerifiedFiles, memory_file
from tests.support import POCKET, copied_pocket

GRAPH = "onnx/vision_encoder.onnx"
LONG_AGO = 10**9  # seconds
Opened = Callable[[], set[str]]

_watching: list[set[str]] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _watching and isinstance(arguments[0], str | os.PathLike):
        _watching[-1].add(str(arguments[0]))


sys.addaudithook(_note)  # of the interpreter: every file that anything opens


@contextmanager
def opened_files(bundle: Path) -> Iterator[set[str]]:
    """Collect the files of a bundle that are opened in a block."""
    names: set[str] = set()
    _watching.append(set())
    try:
        yield names
    finally:
        inside = (Path(path) for path in _watching.pop())
        names |= {
            path.relative_to(bundle).as_posix() for path in inside if path.is_relative_to(bundle)
        }


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a cache folder of the test's own; files settle at once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(verified, "_SETTLED_NS", -(10**9))
    file = memory_file()
    assert file == tmp_path / "cache" / "carve-vlm" / "verified.json"
    return file


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return copied_pocket(tmp_path / "bundle")


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_sums_are_compared_once(bundle: Path, memory: Path) -> None:
    with opened_files(bundle) as first:
        files = set(open_bundle(bundle).manifest.files)
    assert first == files | {"carve.json"}
    with opened_files(bundle) as second:
        open_bundle(bundle)
    assert second == {"carve.json"}
    with opened_files(bundle) as forced:
        open_bundle(bundle, verify=True)
    assert forced == first
    assert list(memory.parent.iterdir()) == [memory]


def test_nothing_is_remembered_where_sizes_alone_are_compared(bundle: Path, memory: Path) -> None:
    with opened_files(bundle) as files:
        open_bundle(bundle, verify=False)
    assert files == {"carve.json"}
    assert not memory.exists()


def test_a_changed_file_is_refused(bundle: Path) -> None:
    path = bundle / GRAPH
    open_bundle(bundle)
    before = path.stat()
    flip_a_byte(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for _ in range(2):
        with pytest.raises(BundleError, match="SHA-256 differs"):
            Carve.load(bundle)


def test_a_touched_or_copied_file_is_read_again(bundle: Path) -> None:
    open_bundle(bundle)
    os.utime(bundle / GRAPH)
    with opened_files(bundle) as files:
        open_bundle(bundle)
    assert files == {"carve.json", GRAPH}
    shutil.copy2(bundle / GRAPH, bundle / "aside")
    (bundle / "aside").replace(bundle / GRAPH)
    with opened_files(bundle) as files:
        open_bundle(bundle)
    assert files == {"carve.json", GRAPH}


def test_the_manifest_may_want_another_file(bundle: Path) -> None:
    """The same file, but the manifest has another sum for it now."""
    sum_of = open_bundle(bundle).manifest.files[GRAPH].sha256
    text = (bundle / "carve.json").read_text()
    (bundle / "carve.json").write_text(text.replace(sum_of, "0" * 64))
    with pytest.raises(BundleError, match=f"{GRAPH} .*SHA-256 differs"):
        open_bundle(bundle)


def test_a_change_that_leaves_no_trace_is_found_when_asked(bundle: Path, memory: Path) -> None:
    """A memory that lies, as after a clock was set back; forced once, it is corrected."""
    entry = open_bundle(bundle).manifest.files[GRAPH]
    flip_a_byte(bundle / GRAPH)
    lie = [FileState.of(bundle / GRAPH, entry.sha256)]
    memory.write_bytes(msgspec.json.encode(lie))
    open_bundle(bundle)
    for verify in (True, None):
        with pytest.raises(BundleError, match="SHA-256 differs"):
            open_bundle(bundle, verify=verify)


def test_a_file_that_just_changed_is_not_remembered(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    state = FileState.of(bundle / GRAPH, "")
    latest = max(state.modified_ns, state.changed_ns)
    assert not state.settled(latest)
    assert not state.settled(latest + 10**9)
    assert state.settled(latest + 3 * 10**9)


def test_a_file_that_changes_while_it_is_read_is_not_remembered(bundle: Path) -> None:
    path = bundle / GRAPH
    state = FileState.of(path, "")
    os.utime(path, (LONG_AGO, LONG_AGO))
    remembered = VerifiedFiles()
    remembered.add(path, state)
    assert state not in remembered


@pytest.mark.parametrize(
    "data", [b"", b"[", b"\xff\xfe", b"{}", b"[1]", b"[[1,2]]", b"[" * 100_000]
)
def test_a_damaged_memory_is_an_empty_one(bundle: Path, memory: Path, data: bytes) -> None:
    memory.parent.mkdir(parents=True)
    memory.write_bytes(data)
    with opened_files(bundle) as files:
        open_bundle(bundle)
    assert GRAPH in files
    with opened_files(bundle) as files:
        open_bundle(bundle)
    assert files == {"carve.json"}


def test_without_a_memory_sums_are_compared_each_time(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file where the folder should be stops even root."""
    (tmp_path / "cache").write_text("")
    for _ in range(2):
        with opened_files(bundle) as files:
            open_bundle(bundle)
        assert GRAPH in files
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0
    assert "cannot be written: sums are compared at every load. Set XDG_CACHE_HOME" in result.output
    monkeypatch.setattr(Path, "home", _no_home)
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert memory_file() is None
    open_bundle(bundle)


def _no_home() -> Path:
    raise RuntimeError


def test_the_memory_is_bounded_and_keeps_the_newest(memory: Path, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    remembered = VerifiedFiles()
    for number in range(MOST_FILES + 5):
        remembered.add(path, FileState.of(path, str(number)))
    remembered.save()
    kept = msgspec.json.decode(memory.read_bytes(), type=list[FileState])
    assert [state.sha256 for state in kept] == [str(n) for n in range(5, MOST_FILES + 5)]


@pytest.mark.parametrize("command", ["ask", "info"])
def test_the_command_line_can_force_it(command: str, bundle: Path, memory: Path) -> None:
    entry = open_bundle(bundle).manifest.files[GRAPH]
    flip_a_byte(bundle / GRAPH)
    memory.write_bytes(msgspec.json.encode([FileState.of(bundle / GRAPH, entry.sha256)]))
    arguments = [command, str(bundle)]
    if command == "ask":
        arguments += [str(POCKET / "example.jpg"), "What?", "--plain"]
    for options, code in ((["--verify"], 1), (["--no-verify"], 0)):
        result = CliRunner().invoke(main, arguments + options)
        assert result.exit_code == code, result.output
        assert ("SHA-256 differs" in result.stderr) == bool(code)
