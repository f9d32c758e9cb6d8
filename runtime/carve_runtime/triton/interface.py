"""What a request and a response of the model have, and what its configuration says."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from carve_models.errors import PromptError, SettingsError, first_line
from carve_models.settings import Settings, require_count, shown
from carve_runtime.backends.protocol import BackendSettings

#: Where the bundle lies in the folder of the model's version.
BUNDLE_FOLDER = "bundle"
#: The parameter of the configuration that says how the graphs are run.
BACKEND = "backend"

IMAGE, QUESTION, SETTINGS = "image", "question", "settings"
_NAMES = frozenset({"variant", *(field.name for field in fields(Settings))})
_EXAMPLE = 'send an object, {"mask_top_p": 0.4} for instance'
ANSWER, PLAIN_ANSWER, BOX, MASK, RESULT = "answer", "plain_answer", "bbox", "mask", "result"


@dataclass(frozen=True, kw_only=True)
class Instances:
    """How often a server loads the model.

    Attributes:
        count: on the CPU, or on each GPU. Every instance has the bundle in its memory.
        gpus: numbers of GPUs, for ONNX Runtime's provider "cuda"; on the CPU if there are none.
        threads: threads of one graph run on the CPU; ONNX Runtime's choice if ``None``.
    """

    count: int = 1
    gpus: tuple[int, ...] = ()
    threads: int | None = None

    def __post_init__(self) -> None:
        require_count("instances", self.count)
        for gpu in self.gpus:
            require_count("gpu", gpu, low=0)
        if self.threads is not None:
            require_count("threads", self.threads)


def configuration(name: str, instances: Instances) -> str:
    """Return ``config.pbtxt``.

    A request has one image, so that its questions share what is computed of that; batches would
    gain nothing, as the runtime answers one question at a time.
    """
    kind = "KIND_CPU"
    if instances.gpus:
        kind = f"KIND_GPU gpus: [ {', '.join(map(str, instances.gpus))} ]"
    backend = json.dumps(json.dumps({"threads": instances.threads}))
    return f"""\
name: "{name}"
backend: "python"
max_batch_size: 0
input [
  {{ name: "{IMAGE}" data_type: TYPE_STRING dims: [ 1 ] }},
  {{ name: "{QUESTION}" data_type: TYPE_STRING dims: [ -1 ] }},
  {{ name: "{SETTINGS}" data_type: TYPE_STRING dims: [ 1 ] optional: true }}
]
output [
  {{ name: "{ANSWER}" data_type: TYPE_STRING dims: [ -1 ] }},
  {{ name: "{PLAIN_ANSWER}" data_type: TYPE_STRING dims: [ -1 ] }},
  {{ name: "{BOX}" data_type: TYPE_INT64 dims: [ -1, 4 ] }},
  {{ name: "{MASK}" data_type: TYPE_STRING dims: [ -1 ] }},
  {{ name: "{RESULT}" data_type: TYPE_STRING dims: [ -1 ] }}
]
instance_group [ {{ count: {instances.count} kind: {kind} }} ]
parameters {{ key: "{BACKEND}" value {{ string_value: {backend} }} }}
"""


def bundle_of(arguments: dict[str, str]) -> Path:
    """Return the bundle's folder from what the server hands to ``initialize``."""
    return Path(arguments["model_repository"], arguments["model_version"], BUNDLE_FOLDER)


def backend_of(arguments: dict[str, str]) -> BackendSettings:
    """Return who runs the graphs of an instance, from what the server hands to ``initialize``."""
    parameters = json.loads(arguments["model_config"])["parameters"]
    settings = BackendSettings(**json.loads(parameters[BACKEND]["string_value"]))
    if arguments["model_instance_kind"] == "GPU":
        device = arguments["model_instance_device_id"]
        settings = replace(settings, provider="cuda", device=device)
    return settings


def settings_of(text: bytes = b"{}") -> dict[str, Any]:
    """Return a request's settings, keywords of :meth:`carve_runtime.ImageSession.ask`.

    Raises:
        SettingsError: they are no JSON object, or one of them has no such name.
    """
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"the settings are not JSON ({first_line(error)})", _EXAMPLE) from error
    if not isinstance(settings, dict):
        raise SettingsError("the settings are no JSON object", _EXAMPLE)
    if unknown := settings.keys() - _NAMES:
        raise SettingsError(
            f"there is no setting named {shown(min(unknown))}",
            f"choose from {', '.join(sorted(_NAMES))}",
        )
    return settings


def text_of(question: bytes) -> str:
    """Return a question.

    Raises:
        PromptError: it is not UTF-8.
    """
    try:
        return question.decode()
    except ValueError as error:
        raise PromptError("the question is not UTF-8", "encode it so") from error
