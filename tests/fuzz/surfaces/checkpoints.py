"""A checkpoint's metadata, edited: loaded, and resolved to what a bundle must know."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import transformers

from carve_export.checkpoint.image_rules import image_rule, require_context
from carve_export.checkpoint.load import decoder_spec, load_checkpoint
from carve_export.checkpoint.prompts import literal_ids, resolve_prompts
from carve_models.names import TOKENIZER_FILE
from carve_runtime.prompt.text import Text
from tests.fuzz.files import DamagedFolder
from tests.support import POCKET

_FILES = [
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer_config.json",
]


class _Checkpoints:
    def __init__(self, folder: Path) -> None:
        transformers.logging.set_verbosity_error()
        self._checkpoint = Path(shutil.copytree(POCKET / "checkpoint", folder / "checkpoint"))
        load_checkpoint(str(self._checkpoint))  # imports what it needs
        self._damaged = DamagedFolder(self._checkpoint, _FILES)
        self.inputs = self._damaged.inputs

    def use(self, data: bytes) -> None:
        """Do what an export does before it traces the model."""
        with self._damaged.damaged(data):
            checkpoint = load_checkpoint(str(self._checkpoint))
            spec = decoder_spec(checkpoint, layers=None)
            text = Text(self._checkpoint / TOKENIZER_FILE, spec.control_ids)
            image = image_rule(checkpoint, partial(literal_ids, checkpoint.tokenizer, text))
            require_context(image, spec)
            resolve_prompts(checkpoint, text, checkpoint.family.prompts)


def prepare(folder: Path) -> _Checkpoints:
    """Return the surface."""
    return _Checkpoints(folder)
