"""The pictures that ``carve-run ask`` writes."""

from __future__ import annotations

import os
from pathlib import Path

from carve_models.errors import SettingsError
from carve_runtime.pictures import save_picture
from carve_runtime.result import CarveResult
from carve_runtime.several.result import SeveralResult
from carve_runtime.video.over_time.result import VideoResult

PICTURE_FORMATS = (".png", ".jpg", ".jpeg", ".webp")


def require_writable(picture: Path | None, save_dir: Path | None) -> None:
    """Find out before the model runs whether the pictures can be written."""
    if picture is not None:
        if picture.suffix.lower() not in PICTURE_FORMATS:
            raise SettingsError(
                f"{picture} names no picture format", f"end it in {', '.join(PICTURE_FORMATS)}"
            )
        require_folder(picture.parent)
    if save_dir is not None:
        require_folder(save_dir)


def require_folder(folder: Path) -> None:
    """Raise :class:`SettingsError` unless the folder is there or can be created."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise SettingsError(
            f"{folder} cannot be written: {nearest} is not a folder that you may write to",
            "choose another folder",
        )


def save(
    result: CarveResult | SeveralResult | VideoResult,
    question: str,
    picture: Path | None,
    save_dir: Path | None,
) -> list[str]:
    """Write the pictures that were asked for and return their paths."""
    saved = []
    if picture is not None:
        saved.append(save_picture(result.draw(question), picture))
    if save_dir is not None:
        saved.extend(result.save(save_dir, question))
    return [str(path) for path in saved]
