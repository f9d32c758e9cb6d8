"""Where a checkpoint is: a folder, or a repository of the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from carve_models.errors import CheckpointError, first_line
from carve_runtime.late_import import late_import

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_CONFIG = "config.json"
#: How long the hub may take to answer, in seconds: less where the name looks like a folder here.
_PATIENCE, _PATIENCE_FOR_PATHS = 10.0, 1.0


def require_source(source: str) -> None:
    """Raise :class:`CheckpointError` unless ``source`` is a checkpoint's folder or on the hub.

    The hub is asked once, for a second where the name begins with a folder that is here, so that a
    mistyped folder is told before anything large is imported.

    Raises:
        DependencyError: what asks the hub is not installed.
    """
    path = Path(source)
    if path.is_dir():
        if not (path / _CONFIG).is_file():
            raise CheckpointError(
                f"{source} has no {_CONFIG}", "give a Hugging Face checkpoint's folder or hub id"
            )
    elif path.exists() or not _HUB_ID.fullmatch(source):
        raise CheckpointError(
            f"there is no folder {source}", "give a checkpoint's folder, or a hub id as owner/name"
        )
    else:
        _require_on_hub(source, _PATIENCE_FOR_PATHS if path.parent.is_dir() else _PATIENCE)


def _require_on_hub(name: str, patience: float) -> None:
    """Raise unless a repository was downloaded before, or the hub has it."""
    hub = late_import(
        "huggingface_hub", "the exporter", 'install its extra: pip install "carve-vlm[cpu,export]"'
    )
    if isinstance(hub.try_to_load_from_cache(name, _CONFIG), str):
        return
    try:
        hub.get_hf_file_metadata(hub.hf_hub_url(name, _CONFIG), timeout=patience)
    except hub.errors.GatedRepoError:
        return  # its reader says what is to be done
    except hub.errors.RepositoryNotFoundError as error:
        reason = "the hub has no such repository, or it is private", error
    except hub.errors.EntryNotFoundError as error:
        reason = f"what the hub has there has no {_CONFIG}", error
    except Exception as error:  # whatever its client raises where there is no connection
        reason = f"the hub cannot be reached ({first_line(error)})", error
    else:
        return
    raise CheckpointError(
        f"there is no folder {name}, and {reason[0]}",
        "see how the folder is spelled; for a hub id, start where no folder has its owner's name, "
        "and see that the hub can be reached",
    ) from reason[1]
