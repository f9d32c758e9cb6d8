"""The unit of systemd and the Containerfile: their steps outside of either."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import click
import pytest

from carve_runtime.cli.main import main
from tests.support import ROOT

DEPLOY = ROOT / "runtime" / "deploy"


def steps() -> list[tuple[str, str]]:
    """Return the Containerfile's instructions, and what stands behind each."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines if line]


def started(*arguments: str) -> dict[str, object]:
    """Return how ``carve-run`` understands a command line; it is not run."""
    name, *rest = arguments
    assert name == "serve"
    command = main.commands[name]
    assert isinstance(command, click.Command)
    return command.make_context(name, rest).params


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the first stage makes, from what it copies and nothing else."""
    folder = tmp_path_factory.mktemp("container")
    source, out = folder / "src", folder / "wheels"
    for name, rest in steps():
        words = shlex.split(rest)
        if name == "COPY" and not words[0].startswith("--"):
            *copied, target = words
            for path in copied:
                place = source / target / (path if target == "./" else "")
                if (ROOT / path).is_dir():
                    shutil.copytree(
                        ROOT / path, place, ignore=shutil.ignore_patterns("__pycache__")
                    )
                else:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / path, place)
    (build,) = [rest for name, rest in steps() if name == "RUN" and "pip wheel" in rest]
    command = [sys.executable, "-m", *shlex.split(build.replace("/wheels", str(out)))]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = out.glob("*.whl")
    return wheel


def test_the_first_stage_makes_a_wheel_that_serves(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = [name for name in names if name.endswith("METADATA")]
        fields = Parser().parsestr(archive.read(metadata).decode())
    for name in ("serve/page/index.html", "serve/page/page.js", "serve/app.py", "cli/main.py"):
        assert f"carve_runtime/{name}" in names
    assert "carve_models/pocket/carve.json" in names
    (install,) = [rest for name, rest in steps() if name == "RUN" and "pip install" in rest]
    extras = re.search(r"whl\)\[([\w,]+)\]", install)
    assert extras is not None
    assert set(extras[1].split(",")) <= set(fields.get_all("Provides-Extra") or [])


def test_the_container_starts_the_command() -> None:
    words: dict[str, list[str]] = {
        name: json.loads(rest) for name, rest in steps() if name in ("ENTRYPOINT", "CMD")
    }
    program, *arguments = [*words["ENTRYPOINT"], *words["CMD"]]
    assert program == "carve-run"
    options = started(*arguments)
    assert (options["bundle"], options["host"]) == ("default", "0.0.0.0")
    (port,) = [rest for name, rest in steps() if name == "EXPOSE"]
    assert options["port"] == int(port)


def test_the_unit_starts_the_command() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign] # names as they are
    unit.read(DEPLOY / "carve-serve.service")
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert Path(program).name == "carve-run"
    options = started(*arguments)
    assert options["host"] == "127.0.0.1"
    credential = unit["Service"]["LoadCredential"].split(":")[0]
    assert options["api_key_file"] == Path(f"%d/{credential}")
    assert isinstance(options["seconds"], float)
    assert int(unit["Service"]["TimeoutStopSec"]) > options["seconds"]
