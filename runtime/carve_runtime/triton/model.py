"""What Triton's Python backend runs; it can be imported in a server alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray
from PIL import Image

from carve_models.errors import CarveError
from carve_runtime.bundle import load_bundle
from carve_runtime.carve import Carve
from carve_runtime.pictures import encode_picture
from carve_runtime.result import CarveResult
from carve_runtime.triton import interface


class TritonPythonModel:
    """An instance of the model: a loaded bundle that answers one request after the other."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the bundle that lies beside ``model.py``.

        Args:
            args: what the backend's documentation lists.

        Raises:
            CarveError: as :meth:`carve_runtime.Carve.load`; the server says it and loads no model.
        """
        backend = interface.backend_of(args)
        self._vlm = load_bundle(interface.bundle_of(args), lambda opened: Carve(opened, backend))

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests, each with a response of its own: one that fails has an error."""
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        try:
            results = self._ask(request)
        except CarveError as error:
            failure = pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse([], failure)
        wanted = request.requested_output_names()
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor(name, output(results))
                for name, output in _OUTPUTS.items()
                if name in wanted
            ]
        )

    def _ask(self, request: Any) -> list[CarveResult]:
        """Ask every question about the request's image, which is encoded once."""
        (image,) = _given(request, interface.IMAGE)
        settings = interface.settings_of(*_given(request, interface.SETTINGS))
        questions = [interface.text_of(text) for text in _given(request, interface.QUESTION)]
        session = self._vlm.open(image, scout_pixels=settings.get("scout_pixels"))
        return [session.ask(question, **settings) for question in questions]


def _given(request: Any, name: str) -> list[bytes]:
    """Return an input's strings, none if it was left out."""
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return [] if tensor is None else list(tensor.as_numpy().reshape(-1))


def _strings(values: Iterable[str | bytes]) -> NDArray[np.object_]:
    """Return an array of the type that the backend takes strings in."""
    encoded = [value.encode() if isinstance(value, str) else value for value in values]
    return np.array(encoded, np.object_)


def _png(result: CarveResult) -> bytes:
    """Return the mask as a picture, white where regions are kept."""
    return encode_picture(Image.fromarray(result.mask))


def _boxes(results: list[CarveResult]) -> NDArray[np.int64]:
    return np.array([each.bbox for each in results], np.int64).reshape(-1, 4)


_OUTPUTS: dict[str, Callable[[list[CarveResult]], NDArray[Any]]] = {
    interface.ANSWER: lambda results: _strings(each.answer for each in results),
    interface.PLAIN_ANSWER: lambda results: _strings(each.plain_answer or "" for each in results),
    interface.BOX: lambda results: _boxes(results),
    interface.MASK: lambda results: _strings(map(_png, results)),
    interface.RESULT: lambda results: _strings(json.dumps(each.to_dict()) for each in results),
}
