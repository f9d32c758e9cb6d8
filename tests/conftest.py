"""Exports and bundles, made once for the whole run, however many processes it has."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import msgspec
import pytest
from filelock import FileLock

from carve_models.graph_spec import Dtype
from carve_models.manifest import Profile
from carve_runtime import Carve
from carve_runtime.bundle import open_bundle
from tests.support import CASES, POCKET

# PyTorch takes longer to import than many tests to run: fixtures import it when they need it.
if TYPE_CHECKING:
    from carve_export import ExportReport

T = TypeVar("T")
Once: TypeAlias = Callable[[str, Callable[[Path], T]], T]
CheckpointOf: TypeAlias = Callable[[str], Path]
ExportOf: TypeAlias = "Callable[[str, Profile], ExportReport]"
AdoptedOf: TypeAlias = Callable[[str], Path]
HeadsOf: TypeAlias = Callable[[str, Profile], Path]


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
def once(tmp_path_factory: pytest.TempPathFactory) -> Once[T]:
    """Fill a folder of that name, unless another process of this run has; return what that gave."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def fill(name: str, make: Callable[[Path], T]) -> T:
        folder, result = shared / name, shared / f"{name}.pickle"
        folder.parent.mkdir(exist_ok=True)
        with FileLock(shared / f"{name}.lock"):
            if not result.exists():
                result.write_bytes(pickle.dumps(make(folder)))
            return pickle.loads(result.read_bytes())  # type: ignore[no-any-return]

    return fill


@pytest.fixture(scope="session")
def one_thread() -> None:
    """Keep PyTorch to one thread: the models are tiny, threads would only wait for each other."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint_of(once: Once[Path], one_thread: None) -> CheckpointOf:
    """Write a case's checkpoint, once."""
    from tests.checkpoints import MAKERS

    @cache
    def make(name: str) -> Path:
        case = CASES[name]
        return once(f"checkpoints/{name}", partial(MAKERS[case.family], case.recipe))

    return make


@pytest.fixture(scope="session")
def export_of(once: Once[ExportReport], checkpoint_of: CheckpointOf) -> ExportOf:
    """Export a case in a profile, once."""
    return _exports(once, checkpoint_of, "float32")


@pytest.fixture(scope="session")
def half_of(once: Once[ExportReport], checkpoint_of: CheckpointOf) -> ExportOf:
    """Export a case in float16 in a profile, once."""
    return _exports(once, checkpoint_of, "float16")


@pytest.fixture(scope="session")
def heads_of(once: Once[Path], checkpoint_of: CheckpointOf, export_of: ExportOf) -> HeadsOf:
    """Make a case's bundle with the attention of every head in a profile, once."""
    from tests.heads import with_heads

    @cache
    def make(name: str, profile: Profile) -> Path:
        source, checkpoint = export_of(name, profile).folder, checkpoint_of(name)
        return once(f"heads/{name}-{profile}", partial(with_heads, source, checkpoint))

    return make


@pytest.fixture(scope="session")
def pocket_heads(once: Once[Path], one_thread: None) -> Path:
    """Make pocket with the attention of every head, of both halves of its decoder, once."""
    from tests.heads import with_heads

    return once("heads/pocket", partial(with_heads, POCKET, POCKET / "checkpoint"))


def _exports(once: Once[ExportReport], checkpoint_of: CheckpointOf, dtype: Dtype) -> ExportOf:
    from carve_export import ExportOptions, export_bundle

    @cache
    def export(name: str, profile: Profile) -> ExportReport:
        case, checkpoint = CASES[name], str(checkpoint_of(name))
        options = ExportOptions(profile=profile, dtype=dtype, layers=case.layers)
        return once(
            f"bundles/{name}-{profile}-{dtype}", lambda out: export_bundle(checkpoint, out, options)
        )

    return export


@pytest.fixture(scope="session")
def pocket_portable(once: Once[ExportReport], one_thread: None) -> Path:
    """Export pocket in the profile ``portable``, once."""
    from carve_export import ExportOptions, export_bundle

    settings = msgspec.json.decode((POCKET / "settings.json").read_bytes())
    layers = open_bundle(POCKET).manifest.decoder.tapped_layers
    options = ExportOptions(profile="portable", layers=layers, **settings)
    checkpoint = str(POCKET / "checkpoint")
    return once(
        "bundles/pocket-portable", lambda out: export_bundle(checkpoint, out, options)
    ).folder


@pytest.fixture(scope="session")
def pocket() -> Carve:
    """Return the default bundle, loaded; it remembers no image, so no test depends on another."""
    return Carve.load(POCKET, image_cache_bytes=0)


@pytest.fixture(scope="session")
def adopted_of(once: Once[Path]) -> AdoptedOf:
    """Make a bundle of a folder of transformers.js, once, with the attention of all layers."""

    @cache
    def adopt(name: str) -> Path:
        from carve_export.adopt import AdoptOptions, adopt_folder
        from carve_models.settings import ALL
        from tests.export.adopt.recipes import FOLDERS

        options = AdoptOptions(layers=ALL)
        return once(
            f"adopted/{name}", lambda out: adopt_folder(FOLDERS / name, out, options).folder
        )

    return adopt
