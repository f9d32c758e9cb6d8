"""What the tests of libcarve share: building it, damaging bundles, expecting refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from carve_runtime.bundle import sha256
from tests.consumers.c.libcarve import LibcarveError
from tests.support import ROOT, copied_pocket

SOURCE = ROOT / "runtime" / "c"
#: For pkg-config, ONNX Runtime apart.
LIBRARIES = ("libcjson", "libpcre2-8", "libutf8proc")
#: What ends a program at once where it misuses memory or computes what C does not define.
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
QUESTION = "What word is on the purple square?"


def with_node() -> dict[str, str]:
    """Return an environment that finds Node in .venv, where tests/setup.sh may have put it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path}


def run(*command: object, **options: Any) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return str(done.stdout)


def harness(name: str, onnxruntime: Path, folder: Path, *flags: str) -> Path:
    """Compile one of ``tests/consumers/c`` with the library's sources, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    libraries = run("pkg-config", "--cflags", "--libs", *LIBRARIES).split()
    sources = [*sorted((SOURCE / "src").rglob("*.c")), Path(__file__).parent / "c" / f"{name}.c"]
    run(
        *("cc", "-std=c99", "-D_POSIX_C_SOURCE=200809L", "-g", "-O1", *flags, *sources),
        *("-I", SOURCE / "include", "-I", SOURCE / "src", "-isystem", onnxruntime / "include"),
        *("-o", folder / name, *libraries, "-L", onnxruntime / "lib", "-lonnxruntime", "-lm"),
        f"-Wl,-rpath,{onnxruntime / 'lib'}",
    )
    return folder / name


def edited(folder: Path, name: str, edit: Any) -> Path:
    """Return a copy of pocket with one JSON file changed, and its manifest to match."""
    copied_pocket(folder)
    document = json.loads((folder / name).read_text())
    edit(document)
    (folder / name).write_text(json.dumps(document))
    if name != "carve.json":
        manifest = json.loads((folder / "carve.json").read_text())
        path = folder / name
        manifest["files"][name] = {"size": path.stat().st_size, "sha256": sha256(path)}
        (folder / "carve.json").write_text(json.dumps(manifest))
    return folder


@contextmanager
def refused(code: int, message: str) -> Iterator[None]:
    with pytest.raises(LibcarveError) as failure:
        yield
    assert failure.value.code == code
    assert message in str(failure.value)
