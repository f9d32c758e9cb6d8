"""Check that the base dependencies install on a Jetson: ``python tools/checks/jetson.py``.

It asks pip to resolve them, wheels only, for aarch64 and the Python that each JetPack ships.
Nothing is installed. Needs Python 3.11 or later, and a package index.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import tomllib  # type: ignore[import-not-found]  # the project is checked as Python 3.10

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


class JetPack(NamedTuple):
    """One JetPack: its Ubuntu's Python, and its glibc (22.04 and 24.04)."""

    name: str
    python: str
    glibc: int


JETPACKS = (JetPack("JetPack 6", "3.10", 35), JetPack("JetPack 7", "3.12", 39))
_OLDEST_GLIBC = 17


def resolve(jetpack: JetPack, requirements: list[str]) -> subprocess.CompletedProcess[str]:
    """Return what pip says to installing requirements there."""
    glibcs = range(_OLDEST_GLIBC, jetpack.glibc + 1)
    platforms = [f"manylinux_2_{glibc}_aarch64" for glibc in glibcs] + ["manylinux2014_aarch64"]
    options = [f"--platform={platform}" for platform in platforms]
    with tempfile.TemporaryDirectory() as target:
        return subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet"),
                *("--only-binary=:all:", f"--python-version={jetpack.python}"),
                *("--implementation=cp", f"--target={target}"),
                *options,
                *requirements,
            ],
            capture_output=True,
            text=True,
        )


def main() -> int:
    """Print a line for each JetPack; return 1 if something does not resolve."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    extras = project["optional-dependencies"]
    requirements = [*project["dependencies"], *extras["cpu"], *extras["tensorrt"]]
    failed = False
    for jetpack in JETPACKS:
        done = resolve(jetpack, requirements)
        failed |= done.returncode != 0
        verdict = "ok  " if done.returncode == 0 else "FAIL"
        print(f"{verdict}  {jetpack.name}, Python {jetpack.python}, aarch64")
        if done.returncode:
            print(done.stderr.strip())
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
