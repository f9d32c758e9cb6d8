"""``carve-run doctor``: check that this installation can run."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import click

from carve_models.aside import abandoned
from carve_models.cli import HELP, ErrorCommand
from carve_models.errors import CarveError
from carve_runtime.backends import BACKENDS, ort_install
from carve_runtime.backends.providers import PROVIDERS
from carve_runtime.bundle import open_bundle
from carve_runtime.cli.started import cuda_lines, start_providers
from carve_runtime.verified import VerifiedFiles


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
    both = ort_install.installed()
    if len(both) > 1:
        problems.append(
            f"{' and '.join(both)} are both installed and overwrite each other. "
            f"Leave one: {ort_install.advice(*ort_install.EXTRAS)}."
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
    started, broken = _describe_providers()
    lines += started
    problems += broken
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


def _describe_providers() -> tuple[list[str], list[str]]:
    """Start ONNX Runtime's providers, and say which CUDA and cuDNN it wants; return problems apart.

    A GPU may be missing, the CPU is not.
    """
    try:
        failures, cuda = start_providers(), cuda_lines()
    except CarveError:  # said among the backends
        return [], []
    lines, problems = [], []
    for name, failure in failures.items():
        what = f"{PROVIDERS[name].name} does not start: {failure}"
        if not failure:
            lines.append(f"ok    {PROVIDERS[name].name} computes")
        elif name == "cpu":
            problems.append(
                f"{what}. Install ONNX Runtime again: {ort_install.advice(*ort_install.EXTRAS)}."
            )
        else:
            lines.append(f"--    {what}")
    return [*lines, *(f"--    {line}" for line in cuda)], problems


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
