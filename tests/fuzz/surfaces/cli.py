"""``carve-run`` by a grammar of arguments: it must end with 0, or with a message and 1 or 2."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner
from hypothesis import strategies as st
from PIL import Image

from carve_runtime.cli.main import main
from tests.fuzz.files import tiny_picture
from tests.fuzz.surface import RefusedError

#: Backends that take long to be imported, each time a process starts.
_LEFT_OUT = {"openvino"}
_VALUES = st.one_of(
    st.sampled_from(
        ["0", "1", "2", "-1", "0.5", "auto", "nan", "inf", "1e400", "", " ", "é", "0-3"]
    ),
    st.sampled_from(["out", "out/p.png", "p.gif", "absent/a/p.png", "picture.png", "cpu", "cuda"]),
    st.integers().map(str),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
)
#: They start a cluster and a server; the surfaces of requests and of records try what these do.
_SERVICES = {"ray", "serve"}
_WORDS = ["default", "picture.png", "What is it?", "", "absent", ".", "picture.txt", "-", "--"]
_CODES = (1, 2)
_OUTPUT = "answers.jsonl"


def _option(parameter: click.Parameter) -> Any:
    """Return a strategy of an option with a value, which it may allow."""
    name = st.sampled_from(parameter.opts)
    if getattr(parameter, "is_flag", False):
        return st.tuples(name).map(list)
    choices = getattr(parameter.type, "choices", None)
    allowed = [choice for choice in map(str, choices or ()) if choice not in _LEFT_OUT]
    values = st.sampled_from(allowed) | _VALUES if allowed else _VALUES
    return st.tuples(name, values).map(list)


def _arguments(name: str, command: click.Command) -> Any:
    """Return a strategy of calls of a command, most of them nearly right."""
    known = [_option(each) for each in command.params if isinstance(each, click.Option)]
    options = st.one_of([*known, st.just(["--no-such-option"])])
    words = st.lists(st.sampled_from(_WORDS), max_size=4)
    usual = {
        "ask": _WORDS[:3],
        "attend": [*_WORDS[:3], "-o", "map.png"],
        "batch": [*_WORDS[:2], "-q", _WORDS[2], "-o", _OUTPUT],
        "info": _WORDS[:1],
        "doctor": [],
        "triton": [_WORDS[0], "models"],
        "watch": [_WORDS[0], ".", _WORDS[2], "--fps", "1"],
    }[name]
    words = st.just(usual) | words
    return st.tuples(words, st.lists(options, max_size=3)).map(
        lambda drawn: [name, *drawn[0], *(part for option in drawn[1] for part in option)]
    )


class _Cli:
    def __init__(self, folder: Path) -> None:
        os.chdir(folder)
        Image.fromarray(tiny_picture()).save(folder / "picture.png")
        (folder / "picture.txt").write_text("no picture")
        commands = [
            _arguments(name, command)
            for name, command in main.commands.items()
            if name not in _SERVICES
        ]
        self.inputs = st.one_of(commands).map(lambda arguments: json.dumps(arguments).encode())

    def use(self, data: bytes) -> None:
        """Call the command in this process."""
        result = CliRunner().invoke(main, json.loads(data))
        for path in Path().glob(f"{_OUTPUT}*"):
            path.unlink()
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        if result.exit_code in _CODES and result.stderr.strip():
            raise RefusedError(result.stderr)
        assert result.exit_code == 0, result.output


def prepare(folder: Path) -> _Cli:
    """Return the surface."""
    return _Cli(folder)
