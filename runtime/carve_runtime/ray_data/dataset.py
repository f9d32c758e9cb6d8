"""Answer a Ray dataset by a pool of actors, each with a bundle of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from carve_models.errors import SettingsError
from carve_models.settings import require_count
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.batch.record import AnswerOptions
from carve_runtime.late_import import late_import
from carve_runtime.ray_data.actor import CarveActor

if TYPE_CHECKING:
    from ray.data import Dataset


@dataclass(frozen=True, kw_only=True)
class Pool:
    """How many actors answer, and what each takes of its machine.

    Attributes:
        actors: how many, each with the bundle in its memory.
        num_cpus: cores of each. Reading and writing need at least one more in the cluster.
        num_gpus: GPUs of each; below 1, several actors share one.
        batch_size: most questions that are given to an actor at once, and asked again if it dies.
    """

    actors: int = 2
    num_cpus: float = 1
    num_gpus: float = 0
    batch_size: int = 32

    def __post_init__(self) -> None:
        require_count("actors", self.actors)
        require_count("batch_size", self.batch_size)
        for name in ("num_cpus", "num_gpus"):
            if not getattr(self, name) >= 0:
                raise SettingsError(
                    f"{name} is {getattr(self, name)}", "give 0, a share of 1, or a number"
                )

    def require_fitting(self, backend: BackendSettings) -> None:
        """Raise :class:`SettingsError` if GPUs are taken for a backend that computes on the CPU."""
        if self.num_gpus and backend.backend == "ort" and backend.provider in (None, "cpu"):
            raise SettingsError(
                f"num_gpus is {self.num_gpus}, and the backend computes on the CPU",
                "name the provider cuda, or leave the GPUs to others",
            )


def import_ray_data() -> Any:
    """Return the module ``ray.data``.

    Raises:
        DependencyError: Ray is not installed.
    """
    return late_import(
        "ray.data", "Ray Data", 'install its extra: pip install "carve-vlm[ray]"', needs="Dataset"
    )


def ask_dataset(
    questions: Dataset,
    bundle: str | os.PathLike[str] | None = None,
    *,
    pool: Pool | None = None,
    options: AnswerOptions | None = None,
    backend: BackendSettings | None = None,
    pictures: str | os.PathLike[str] | None = None,
    revision: str | None = None,
) -> Dataset:
    """Answer every question of a dataset; nothing runs before the answers are read or written.

    Questions are given to the actors in batches of neighbours: let those about one picture follow
    each other. A batch whose actor died is answered again by another; Ray starts a new actor.

    Args:
        questions: rows as :class:`CarveActor` takes them.
        bundle: as :meth:`carve_runtime.Carve.load` takes it. A folder has the same path on every
            machine; what is on the hub is fetched by each.
        pool: the actors.
        options: how every record is answered.
        backend: what runs the graphs. An actor computes with as many threads as it has cores,
            unless this says otherwise.
        pictures: the folder that relative paths of pictures start from.
        revision: of a repository of the hub.

    Raises:
        DependencyError: Ray is not installed.
        SettingsError: actors with GPUs, and a backend that uses none.
    """
    pool, backend = pool or Pool(), backend or BackendSettings()
    pool.require_fitting(backend)
    if backend.threads is None:
        backend = replace(backend, threads=max(int(pool.num_cpus), 1))
    return questions.repartition(target_num_rows_per_block=pool.batch_size).map_batches(
        CarveActor,
        fn_constructor_kwargs={
            "bundle": None if bundle is None else os.fspath(bundle),
            "options": options,
            "backend": backend,
            "pictures": None if pictures is None else os.fspath(pictures),
            "revision": revision,
        },
        batch_size=pool.batch_size,
        batch_format="pyarrow",
        compute=import_ray_data().ActorPoolStrategy(size=pool.actors),
        num_cpus=pool.num_cpus,
        num_gpus=pool.num_gpus or None,
        udf_modifying_row_count=False,
    )
