"""A hub, and processes that know no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from carve_models.names import MANIFEST_FILE
from tests.hub.server import OWNER, Hub, Repository, running
from tests.support import POCKET, ROOT

#: Seconds that a command may take on a busy machine.
LONGEST = 300

Done: TypeAlias = "subprocess.CompletedProcess[str]"
Run: TypeAlias = Callable[..., Done]


def pocket_files() -> dict[str, bytes]:
    """Return what a repository with the default bundle holds: more than the bundle."""
    paths = [path for path in POCKET.rglob("*") if path.is_file()]
    return {path.relative_to(POCKET).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """Run a hub without repositories."""
    with running() as hub:
        yield hub


@dataclass(frozen=True)
class Place:
    """What a test has on the hub for itself.

    Attributes:
        hub: the hub.
        name: of a repository with the default bundle.
        repository: that.
        fetched: the folder where its bundles come to here.
    """

    hub: Hub
    name: str
    repository: Repository
    fetched: Path

    def sent(self) -> list[str]:
        """Return the repository's files that were sent since the last call, in order."""
        sent = [file for method, file in self.hub.resolved(self.name) if method == "GET"]
        self.hub.requests.clear()
        return sent

    def bundles(self) -> list[Path]:
        """Return the folders with a manifest that were fetched."""
        return [path.parent for path in self.fetched.rglob(MANIFEST_FILE)]


@pytest.fixture
def place(hub: Hub, user: Path) -> Place:
    """Return a repository with the default bundle."""
    slug = f"pocket-{len(hub.repositories)}"
    repository = hub.repositories[f"{OWNER}/{slug}"] = Repository()
    repository.commit(pocket_files())
    hub.requests.clear()
    fetched = user / "home" / "assets" / "carve-vlm" / f"{OWNER}--{slug}"
    return Place(hub, f"{OWNER}/{slug}", repository, fetched)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that commands run in; ``home`` in it is HF_HOME."""
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="module")
def environment(hub: Hub, user: Path) -> dict[str, str]:
    """Return the variables of a user of that hub, who is not logged in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return kept | {
        "HF_HOME": str(user / "home"),
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("models", "runtime", "export")),
    }


@pytest.fixture(scope="module")
def carve_run(environment: dict[str, str], user: Path) -> Run:
    """Run ``carve-run`` as a process of its own."""
    return command("carve_runtime.cli.main", environment, user)


@pytest.fixture(scope="module")
def carve_export(environment: dict[str, str], user: Path) -> Run:
    """Run ``carve-export`` as a process of its own."""
    return command("carve_export.cli.main", environment, user)


def command(module: str, environment: dict[str, str], folder: Path) -> Run:
    """Return what runs the main function of a module in a process of its own."""

    def run(*arguments: object, **variables: str) -> Done:
        code = f"from {module} import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            env=environment | variables,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )

    return run


_CLIENT = """
import json, sys
from carve_runtime import Carve, CarveError
for line in sys.stdin:
    bundle, options, image, question = json.loads(line)
    try:
        loaded = Carve.load(bundle, **options)
        said = [loaded.ask(image, question).answer if image else loaded.manifest.family, ""]
    except CarveError as error:
        said = ["", f"{type(error).__name__}: {error}"]
    print(json.dumps(said), flush=True)
"""


@dataclass(frozen=True)
class Client:
    """A Python process that loads bundles, one after the other: its imports take long."""

    process: subprocess.Popen[str]

    def load(self, bundle: str, image: object = "", question: str = "", **options: Any) -> str:
        """Return the answer, or the bundle's family; a typed error is a ``RuntimeError``."""
        assert self.process.stdin
        assert self.process.stdout
        print(
            json.dumps([bundle, options, str(image), question]), file=self.process.stdin, flush=True
        )
        answer, error = json.loads(self.process.stdout.readline())
        if error:
            raise RuntimeError(error)
        return str(answer)


@pytest.fixture(scope="module")
def client(environment: dict[str, str], user: Path) -> Iterator[Client]:
    """Run a :class:`Client`."""
    with subprocess.Popen(
        [sys.executable, "-c", _CLIENT],
        env=environment,
        cwd=user,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Client(process)
        assert process.stdin
        process.stdin.close()
