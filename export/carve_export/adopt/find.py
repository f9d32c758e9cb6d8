"""Find the graphs of a folder of transformers.js, in the types that it names files by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from carve_models.errors import ExportError, SettingsError
from carve_models.names import (
    DECODER,
    EMBED_TOKENS,
    MANIFEST_FILE,
    TOKENIZER_FILE,
    VISION_ENCODER,
    graph_file,
)

#: The graphs of a model that sees images.
COMPONENTS = VISION_ENCODER, EMBED_TOKENS, DECODER
#: What transformers.js calls the types that weights are stored in, and puts behind a file's name.
SUFFIXES: Mapping[str, str] = {
    "fp32": "",
    "fp16": "_fp16",
    "q8": "_quantized",
    "int8": "_int8",
    "uint8": "_uint8",
    "q4": "_q4",
    "q4f16": "_q4f16",
    "bnb4": "_bnb4",
}
EXACT = "fp32"
_GENAI_FILE = "genai_config.json"
_DESCRIBING = "config.json", TOKENIZER_FILE


def parse_dtypes(texts: tuple[str, ...]) -> dict[str, str]:
    """Return the type of each graph.

    Args:
        texts: ``q4`` for all graphs, or ``embed_tokens=fp16`` for one; the last one counts.

    Raises:
        SettingsError: an unknown graph or type.
    """
    chosen = dict.fromkeys(COMPONENTS, EXACT)
    for text in texts:
        name, separator, dtype = text.rpartition("=")
        if dtype not in SUFFIXES or (separator and name not in chosen):
            raise SettingsError(
                f"{text!r} is not a type of graphs",
                f"give one of {', '.join(SUFFIXES)}, alone or as GRAPH=TYPE with "
                f"{', '.join(COMPONENTS)}",
            )
        chosen |= {name: dtype} if separator else dict.fromkeys(COMPONENTS, dtype)
    return chosen


def require_folder(folder: Path) -> None:
    """Raise :class:`ExportError` unless a folder may be one of transformers.js."""
    if not folder.is_dir():
        raise ExportError(
            f"there is no folder {folder}",
            "download one: hf download REPOSITORY --local-dir FOLDER",
        )
    if (folder / MANIFEST_FILE).is_file():
        raise ExportError(f"{folder} is a bundle already", "use it as it is")
    if (folder / _GENAI_FILE).is_file():
        raise ExportError(
            f"{folder} is a model of ONNX Runtime GenAI, whose images are prepared by it alone",
            "tap its decoder with carve-export tap, or export its checkpoint with carve-export",
        )
    for name in _DESCRIBING:
        if not (folder / name).is_file():
            raise ExportError(
                f"{folder} has no {name}", "give the whole folder of a model of transformers.js"
            )


def find_graphs(folder: Path, dtypes: Mapping[str, str]) -> dict[str, Path]:
    """Return the file of each graph.

    Args:
        folder: as transformers.js reads it.
        dtypes: the type of each graph.

    Raises:
        ExportError: the folder has no graph of that type.
    """
    return {name: _find(folder, name, dtype) for name, dtype in dtypes.items()}


def _find(folder: Path, name: str, dtype: str) -> Path:
    places = {each: _place(folder, name, suffix) for each, suffix in SUFFIXES.items()}
    if places[dtype].is_file():
        return places[dtype]
    there = [each for each, place in places.items() if place.is_file()]
    if there:
        raise ExportError(
            f"{folder} has no {name} in {dtype}: there is no {places[dtype].name}",
            f"give --dtype {name}= with one of {', '.join(there)}, or download that file too",
        )
    raise ExportError(
        f"{folder} has no {name}: there is no {places[EXACT]}",
        "give a folder of transformers.js with the model's three graphs, "
        f"{', '.join(COMPONENTS)}, in its folder onnx",
    )


def _place(folder: Path, name: str, suffix: str) -> Path:
    return folder / graph_file(f"{name}{suffix}")
