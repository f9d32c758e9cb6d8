"""Every error that carve-vlm raises on purpose: what was found, and what to do about it."""

from __future__ import annotations

#: What a remedy may begin with to be copied as it stands.
_COMMANDS = ("pip ", "carve-")


class CarveError(Exception):
    """Base class of all deliberate errors.

    Args:
        cause: what was asked and what was found, a clause without a final full stop.
        remedy: what the user can do, a clause without a final full stop.
    """

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        remedy = self.remedy
        if not remedy.startswith(_COMMANDS):
            remedy = remedy[:1].upper() + remedy[1:]
        return f"{self.cause}. {remedy}."


def first_line(error: BaseException) -> str:
    """Return what others' error says in one line, as a clause; its class's name if nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


class SettingsError(CarveError, ValueError):
    """A setting or an argument is outside its range, or does not fit this bundle."""


class ImageError(CarveError, ValueError):
    """The input is not an image that can be read, or its size is out of range."""


class VideoError(CarveError, ValueError):
    """The input is not a clip that can be read, or it is too long, or the model takes none."""


class PromptError(CarveError, ValueError):
    """The question is empty, or longer than the model's context."""


class RecordError(CarveError, ValueError):
    """Records, or the file that they come from or go to, cannot be used as they are."""


class BundleError(CarveError):
    """A bundle's folder or one of its files is missing, truncated, swapped or malformed."""


class SchemaError(BundleError):
    """The manifest is written in a schema that this version does not read."""


class HubError(CarveError):
    """A repository of the Hugging Face hub cannot be read or written."""


class FamilyError(CarveError):
    """The model belongs to a family that is not declared in ``carve_models``."""


class DependencyError(CarveError, ImportError):
    """A package that this step needs is not installed."""


class ProviderError(CarveError):
    """The requested execution provider is not available here."""


class RunError(CarveError):
    """A graph could not be run, or the memory did not suffice for an answer."""


class EngineError(CarveError):
    """An engine cannot be built, or does not fit this machine, this bundle or this input."""


class ExportError(CarveError):
    """A checkpoint cannot be turned into a bundle."""


class CheckpointError(ExportError):
    """The checkpoint cannot be read, or uses a feature that cannot be exported exactly."""


class ParityError(ExportError):
    """The exported graphs do not reproduce the checkpoint as far as rounding allows."""
