"""Write a model repository for Triton: the bundle, its configuration, and what runs it."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from carve_models.errors import SettingsError
from carve_models.names import MANIFEST_FILE
from carve_models.replacing import appearing
from carve_runtime.bundle import Bundle
from carve_runtime.triton.interface import BUNDLE_FOLDER, Instances, configuration

_VERSION = "1"
_MODEL = '''\
"""Triton's Python backend runs this; carve-vlm has to be installed for the server's Python."""

from carve_runtime.triton.model import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''


def write_model(
    bundle: Bundle,
    repository: str | os.PathLike[str],
    *,
    name: str = "carve",
    instances: Instances | None = None,
) -> Path:
    """Write a model with a copy of a bundle into a model repository, whole or not at all.

    Args:
        bundle: an opened bundle.
        repository: a folder, which may hold other models.
        name: of the model; its folder's too.
        instances: how often a server loads it.

    Returns:
        The model's folder.

    Raises:
        SettingsError: the model is there already, or its name is none for a folder.
        OSError: it cannot be written.
    """
    if not re.fullmatch(r"\w[\w.-]*", name, re.ASCII):
        raise SettingsError(f"the model's name is {name!r}", "use letters, digits, - and _")
    target = Path(repository, name)
    with appearing(target) as model:
        version = model / _VERSION
        for file in (MANIFEST_FILE, *bundle.manifest.files):
            copy = version / BUNDLE_FOLDER / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path(file), copy)
        (version / "model.py").write_text(_MODEL)
        (model / "config.pbtxt").write_text(configuration(name, instances or Instances()))
    return target
