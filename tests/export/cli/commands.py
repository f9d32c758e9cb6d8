"""carve-export in this process, how it has to fail, and a checkpoint to change."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from carve_export.cli.main import main

NAME = "llava-clip-gqa"


def carve_export(*arguments: object, typed: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=typed)


def failed(result: Result, code: int, message: str) -> None:
    """Check the exit code and that standard error ends with one line of cause and remedy."""
    assert isinstance(result.exception, SystemExit), result.output  # else a traceback
    assert result.exit_code == code, result.output
    last = result.stderr.strip().splitlines()[-1]
    assert re.search(rf"^Error: .*{message}", last), last
    assert last.endswith(".")


def changed_copy(checkpoint: Path, folder: Path, file: str, **changes: Any) -> Path:
    """Copy a checkpoint with some fields of one of its JSON files replaced."""
    shutil.copytree(checkpoint, folder)
    (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | changes))
    return folder
