"""``carve-run doctor``: check that this installation can run."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from pathlib import Path

import click

from carve_models.aside import abandoned
from carve_models.cli import HELP, ErrorCommand
from carve_models.errors import CarveError
from carve_runtime.backends import BACKENDS
from carve_runtime.bundle import open_bundle
from carve_runtime.verified import VerifiedFiles

#: Distributions that install the same ``onnxruntime`` package and overwrite each other.
ONNXRUNTIME_DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
)


@click.command(
    cls=ErrorCommand,
    context_settings=HELP,
    epilog="\b\nExamples:\n  carve-run doctor\n  carve-run doctor ~/bundles",
)
@click.argument("folder", type=click.Path(path_type=Path), default=".")
def doctor(folder: Path) -> None:
    """Check the installation: backends, their providers and devices, the default bundle.

    Also lists what exports that were killed have left in FOLDER, the current one if not given.
    """
    healthy, lines = examine()
    lines += [f"--    {_describe_abandoned(path)}" for path in abandoned(folder)]
    click.echo("\n".join(lines))
    sys.exit(0 if healthy else 1)


def examine() -> tuple[bool, list[str]]:
    """Return whether everything is in order, and the findings line by line."""
    lines = [f"ok    Python {platform.python_version()} on {platform.machine()}"]
    problems = []
    installed = [name for name in ONNXRUNTIME_DISTRIBUTIONS if _version(name)]
    if len(installed) > 1:
        problems.append(
            f"{' and '.join(installed)} are both installed and overwrite each other. "
            f"Uninstall all of them, then install the one you want."
        )
    working, missing = [], []
    for backend in BACKENDS.values():
        try:
            working.append(f"ok    {backend.describe()}")
        except CarveError as error:
            missing.append(str(error))
    lines += working
    if working:
        lines += [f"--    {backend}" for backend in missing]
    else:
        problems += missing
    try:
        bundle = open_bundle(verify=True)
        count = len(bundle.manifest.files)
        lines.append(
            f"ok    default bundle {bundle.folder}, SHA-256 sums of {count} files compared"
        )
    except CarveError as error:
        problems.append(str(error))
    lines.append(_describe_memory())
    return not problems, lines + [f"FAIL  {problem}" for problem in problems]


def _describe_memory() -> str:
    """Say whether files need to be compared with their sums only once."""
    verified = VerifiedFiles()
    if verified.write():
        return f"ok    sums that were compared are remembered in {verified.file}"
    return (
        f"--    {verified.file or 'a cache folder'} cannot be written: sums are compared at every "
        "load. Set XDG_CACHE_HOME to a folder that can."
    )


def _describe_abandoned(path: Path) -> str:
    return f"{path} was left by an export that was killed: the next one to that place removes it"


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
