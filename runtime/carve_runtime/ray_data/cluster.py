"""A cluster for as long as a command runs: one that is there, or one of this machine's cores."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from carve_models.errors import CarveError, RunError, SettingsError, first_line
from carve_runtime.ray_data.dataset import Pool, import_ray_data

#: Bytes of shared memory for questions and answers on their way; what is more goes to the disk.
_STORE_BYTES = 512 << 20
#: Seconds until the head of a cluster has to take a connection.
_LONGEST_CONNECT = 10.0


@contextmanager
def connected(address: str | None, pool: Pool) -> Iterator[None]:
    """Connect to a cluster, or start one on this machine, until the end.

    Args:
        address: of a running cluster; ``None`` takes the one that ``RAY_ADDRESS`` names, or starts
            one for the pool.
        pool: what is going to run.

    Raises:
        CarveError: Ray is not installed, no cluster is there, this machine has too few GPUs, or
            what went wrong on the cluster meanwhile.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray's reports to its makers
    import_ray_data()
    import ray
    from ray.data.exceptions import ExecutionTimeoutError

    options: dict[str, Any] = {"log_to_driver": False, "include_dashboard": False}
    address = address or os.environ.get("RAY_ADDRESS")
    if address is None:
        reading_and_writing = 1
        options["num_cpus"] = math.ceil(pool.actors * pool.num_cpus) + reading_and_writing
        options["object_store_memory"] = _STORE_BYTES
    try:
        _require_listener(address)
        ray.init(address or "local", **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise RunError(
            f"no Ray cluster can be used at {address or 'this machine'}: {_last_line(error)}",
            "check the address, and that `ray status` works there",
        ) from error
    try:
        if address is None:
            _require_gpus(ray.cluster_resources().get("GPU", 0.0), pool)
        ray.data.DataContext.get_current().raise_original_map_exception = True
        yield
    except (ray.exceptions.RayError, ExecutionTimeoutError) as error:
        raise _what_it_was(error) from error
    finally:
        ray.shutdown()


def _require_listener(address: str | None) -> None:
    """Raise :class:`OSError` if nobody listens there: Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition("/")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_LONGEST_CONNECT).close()


def _require_gpus(found: float, pool: Pool) -> None:
    """Refuse what would wait for ever."""
    if found < pool.actors * pool.num_gpus:
        raise SettingsError(
            f"{pool.actors} actors with {pool.num_gpus} GPUs each were asked for, and this machine "
            f"has {found:g}",
            "ask for fewer, or give the address of a cluster",
        )


def _what_it_was(error: Exception) -> CarveError:
    """Return the error of ours that ended an actor or a task, or one that says what Ray says."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, CarveError):
        return cause
    what = first_line(cause) if isinstance(cause, Exception) else _last_line(error)
    return RunError(f"the cluster gave up: {what}", "mend what it names, and start again")


def _last_line(error: BaseException) -> str:
    """Return the line of a traceback of many that says what happened."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1].rstrip(".")
