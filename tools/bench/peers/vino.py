"""OpenVINO on the same decoder file, without the tap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from carve_runtime.bundle import open_bundle
from tools.bench.peers.base import PREFILL, PREFIX, SUFFIX
from tools.bench.subjects import Subject
from tools.bench.untapped import untapped_file
from tools.shared.models.decoder_inputs import graph_inputs, random_embeds


class OpenVino:
    """Stateless: caches are inputs and outputs, as in the file. In float32, as all others."""

    def __init__(self, subject: Subject, work: Path) -> None:
        import openvino

        spec = open_bundle(subject.bundle).manifest.decoder
        core = openvino.Core()
        compiled = core.compile_model(
            str(untapped_file(subject, work)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        self._request = compiled.create_infer_request()
        self._inputs = {
            (new, past): graph_inputs(spec, random_embeds(spec, new), past)
            for new, past in ((PREFILL, 0), (SUFFIX, PREFIX), (1, PREFIX))
        }

    def _run(self, new: int, past: int) -> Any:
        # By our names: OpenVINO's own order of ports is not the file's.
        return self._request.infer(self._inputs[new, past], share_inputs=True)

    def prefill(self) -> None:
        """See :class:`Peer`."""
        self._run(PREFILL, 0)

    def extend(self, positions: int) -> None:
        """See :class:`Peer`."""
        self._run(positions, PREFIX)
