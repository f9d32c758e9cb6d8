"""What ``get_onnxruntime.sh`` says when something is missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.consumers.building import SOURCE

SCRIPT = SOURCE / "get_onnxruntime.sh"
#: All that the script needs until it fetches headers.
TOOLS = ("bash", "cat", "env", "grep", "ln", "mkdir", "rm", "python3")


def call(*arguments: object, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=None if path is None else {"PATH": str(path)},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that has headers already."""
    header = tmp_path / "onnxruntime folder" / "include" / "onnxruntime_c_api.h"
    header.parent.mkdir(parents=True)
    header.touch()
    return header.parent.parent


def test_wrong_use_and_missing_parts(folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "python"  # without its site-packages
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    for arguments, message in (
        ((), "usage: get_onnxruntime.sh FOLDER [PYTHON | WHEEL.whl]"),
        ((folder, "/no/python"), "no /no/python here. It finds and unpacks onnxruntime's wheel"),
        ((folder, "no.whl"), "there is no file no.whl"),
        ((folder, bare), "has no package onnxruntime, whose library is used."),
    ):
        done = call(*arguments)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.startswith("get_onnxruntime.sh: ")
        assert message in done.stderr


def test_headers_without_apt(tmp_path: Path) -> None:
    path = tmp_path / "bin"
    path.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (path / tool).symlink_to(found)
    done = call(tmp_path / "folder", path=path)
    assert done.returncode == 1
    assert done.stderr.startswith("get_onnxruntime.sh: ")
    assert f"put ONNX Runtime's headers into {tmp_path / 'folder'}/include" in done.stderr


def test_a_wheels_file(folder: Path, tmp_path: Path) -> None:
    """Its library alone is unpacked."""
    wheel = tmp_path / "onnxruntime-1.99.0-cp312-cp312-manylinux_2_28_aarch64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("onnxruntime/capi/libonnxruntime.so.1.99.0", b"a library")
        archive.writestr("onnxruntime/capi/onnxruntime_pybind11_state.so", b"another")
    done = call(folder, wheel)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{folder}\n", "")
    assert (folder / "lib" / "libonnxruntime.so").read_bytes() == b"a library"
    assert [path.name for path in (folder / "onnxruntime" / "capi").iterdir()] == [
        "libonnxruntime.so.1.99.0"
    ]
