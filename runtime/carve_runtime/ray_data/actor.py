"""What answers on a cluster: a process that loads a bundle once and takes tables of questions."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.batch.record import IMAGE, QUESTION, AnswerOptions, Record, answer_together
from carve_runtime.bundle import load_bundle
from carve_runtime.carve import Carve
from carve_runtime.hub import locate_bundle
from carve_runtime.ray_data.columns import require_columns, with_answers

if TYPE_CHECKING:
    import pyarrow as pa


class CarveActor:
    """A loaded bundle, for ``Dataset.map_batches`` with ``batch_format="pyarrow"``.

    ``ask_dataset`` uses it with settings that fit; use it yourself for others.
    """

    def __init__(
        self,
        bundle: str | None = None,
        options: AnswerOptions | None = None,
        backend: BackendSettings | None = None,
        pictures: str | None = None,
        revision: str | None = None,
    ) -> None:
        """Load the bundle.

        Args:
            bundle: as :meth:`carve_runtime.Carve.load` takes it. A folder has the same path on
                every machine; what is on the hub is fetched by each.
            options: how every record is answered.
            backend: what runs the graphs.
            pictures: the folder that relative paths of pictures start from; the process's own
                folder if ``None``.
            revision: of a repository of the hub.

        Raises:
            CarveError: as :meth:`carve_runtime.Carve.load`.
        """
        self._vlm = load_bundle(
            locate_bundle(bundle, revision=revision), lambda opened: Carve(opened, backend)
        )
        self._options = options or AnswerOptions()
        self._pictures = Path(pictures or "")

    def __call__(self, questions: pa.Table) -> pa.Table:
        """Answer a table of questions; neighbours about one picture share its encoding.

        Args:
            questions: the column ``image`` has paths, encoded bytes, or structs of ``bytes`` and
                ``path`` as Hugging Face's datasets have them, ``question`` texts. Others are kept.

        Returns:
            A table of as many rows in the same order: paths of the pictures, null for bytes without
            one, questions and answers. A picture or a question that cannot be used is an ``error``.

        Raises:
            RecordError: a column is missing, or named like a field of the answers.
            SettingsError: the options do not fit the bundle.
        """
        require_columns(questions.column_names, "the dataset")
        images, texts = (questions[name].to_pylist() for name in (IMAGE, QUESTION))
        answers: list[dict[str, Any]] = []
        for _, together in groupby(map(self._record, images, texts), lambda each: each.image):
            answered = answer_together(self._vlm, list(together), self._options)
            answers.extend(fields for fields, _ in answered)
        return with_answers(questions, answers, self._options)

    def _record(self, image: Any, question: Any) -> Record:
        name = None
        if isinstance(image, dict):
            name, image = image.get("path"), image.get("bytes") or image.get("path")
        if isinstance(image, str):
            name, image = image, self._pictures / image
        return Record(image=image, question=question, name=name)
