"""A real Triton server: the binary in the package nvidia-pytriton, and an environment for it.

Its Python backend was built for numpy 1, so that it reads its inputs wrongly under numpy 2. The
environment is this one with an older numpy before it, which ``tests/setup.sh`` has laid aside, and
the product's packages as this process has them: the backend ignores ``PYTHONPATH``.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import carve_models
import carve_runtime

_LONGEST = 120  # seconds; it starts in 3
OLDER_NUMPY = Path(sys.prefix) / "triton"


def _server() -> Path:
    """Return the folder of the server, one that does not exist if it is not installed."""
    spec = find_spec("pytriton")
    return Path(spec.origin or "").parent / "tritonserver" if spec else Path("missing")


def _stub() -> Path:
    """Return the server's program for this version of Python."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return _server() / "python_backend_stubs" / version / "triton_python_backend_stub"


def _library() -> Path | None:
    """Return the folder of Python's shared library, which that program needs."""
    names = map(sysconfig.get_config_var, ("LIBDIR", "MULTIARCH", "INSTSONAME"))
    libraries, system, name = (value or "" for value in names)
    folders = [Path(libraries), Path(libraries, system)]
    return next((folder for folder in folders if (folder / name).is_file()), None)


def missing() -> str:
    """Return what a server needs and is not here, "" if it can run."""
    if not _stub().is_file():
        return "nvidia-pytriton, or what it has for this Python"
    if not OLDER_NUMPY.is_dir():
        return f"numpy 1 in {OLDER_NUMPY}"
    return "" if _library() else "Python's shared library"


def _environment(folder: Path) -> Path:
    """Make an environment with this one's packages behind the older numpy."""
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "numpy").symlink_to(OLDER_NUMPY / "numpy")
    (packages / "numpy.libs").symlink_to(OLDER_NUMPY / "numpy.libs")
    ours = [Path(package.__file__ or "").parents[1] for package in (carve_models, carve_runtime)]
    behind = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})"
    (packages / "tested.pth").write_text("".join(f"{line}\n" for line in (*ours, behind)))
    return folder


@contextmanager
def serving(repository: Path, folder: Path) -> Iterator[str]:
    """Serve a model repository on this machine; yield the server's address.

    Args:
        repository: the models.
        folder: an empty one for what the server needs.
    """
    server, library = _server(), _library()
    backends = shutil.copytree(server / "backends", folder / "backends")
    shutil.copy2(_stub(), backends / "python")
    python = _environment(folder / "python")
    libraries = f"{server.parents[1] / 'nvidia_pytriton.libs'}{os.pathsep}{library}"
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    options: dict[str, object] = {
        "model-repository": repository,
        "backend-directory": backends,
        "http-address": "127.0.0.1",
        "http-port": port,
        "allow-grpc": "false",
        "allow-metrics": "false",
    }
    line = [
        str(server / "bin" / "tritonserver"),
        *(f"--{name}={options[name]}" for name in options),
    ]
    path = f"{python / 'bin'}{os.pathsep}{os.environ['PATH']}"
    log = folder / "log"
    with (
        log.open("wb") as stream,
        subprocess.Popen(
            line,
            env=os.environ | {"PATH": path, "LD_LIBRARY_PATH": libraries},
            stdout=stream,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            _wait(process, f"127.0.0.1:{port}", log)
            yield f"127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_LONGEST)
            finally:
                process.kill()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + _LONGEST
    while time.monotonic() < until and process.poll() is None:
        try:
            with urlopen(f"http://{address}/v2/health/ready"):
                return
        except URLError:
            time.sleep(0.1)
    raise AssertionError(log.read_text(errors="replace"))
