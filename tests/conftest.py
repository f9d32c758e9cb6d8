"""Exports and bundles, made once for the whole run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import pytest

from carve_models.manifest import Profile
from carve_runtime import Carve
from carve_runtime.bundle import open_bundle
from tests.support import CASES, POCKET

# PyTorch takes longer to import than many tests to run: fixtures import it when they need it.
if TYPE_CHECKING:
    from carve_export import ExportReport

CheckpointOf: TypeAlias = Callable[[str], Path]
ExportOf: TypeAlias = "Callable[[str, Profile], ExportReport]"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a machine with a GPU say so."""
    parser.addoption("--gpu", action="store_true", help="run the tests that need an NVIDIA GPU")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip, by name, what needs a GPU unless there is one, and what needs none where one is."""
    marker, reason = "gpu", "needs an NVIDIA GPU: pytest --gpu"
    if config.getoption("--gpu"):
        marker, reason = "no_gpu", "needs a machine without an NVIDIA GPU"
    for item in items:
        if item.get_closest_marker(marker):
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    """Keep PyTorch to one thread where a test's module has imported it."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def one_thread() -> None:
    """Keep PyTorch to one thread: the models are tiny, threads would only wait for each other."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint_of(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> CheckpointOf:
    """Write a case's checkpoint, once."""
    from tests.checkpoints import MAKERS

    @cache
    def make(name: str) -> Path:
        case = CASES[name]
        return MAKERS[case.family](case.recipe, tmp_path_factory.mktemp("checkpoint") / name)

    return make


@pytest.fixture(scope="session")
def export_of(tmp_path_factory: pytest.TempPathFactory, checkpoint_of: CheckpointOf) -> ExportOf:
    """Export a case in a profile, once."""
    from carve_export import ExportOptions, export_bundle

    @cache
    def export(name: str, profile: Profile) -> ExportReport:
        case = CASES[name]
        out = tmp_path_factory.mktemp("bundle") / f"{name}-{profile}"
        options = ExportOptions(profile=profile, layers=case.layers, tolerance=case.tolerance)
        return export_bundle(str(checkpoint_of(name)), out, options)

    return export


@pytest.fixture(scope="session")
def pocket_portable(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """Export pocket in the profile ``portable``, once."""
    from carve_export import ExportOptions, export_bundle

    settings = msgspec.json.decode((POCKET / "settings.json").read_bytes())
    out = tmp_path_factory.mktemp("bundle") / "pocket-portable"
    layers = open_bundle(POCKET).manifest.decoder.tapped_layers
    options = ExportOptions(profile="portable", layers=layers, **settings)
    export_bundle(str(POCKET / "checkpoint"), out, options)
    return out


@pytest.fixture(scope="session")
def pocket() -> Carve:
    """Return the default bundle, loaded; it remembers no image, so no test depends on another."""
    return Carve.load(POCKET, image_cache_bytes=0)
