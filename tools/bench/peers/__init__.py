"""Runtimes that a user would pick instead, each with the same decoder and the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tools.bench.peers.base import Peer
from tools.bench.peers.genai import OnnxRuntimeGenAI
from tools.bench.peers.ours import Ours
from tools.bench.peers.sdpa import TorchSdpa
from tools.bench.peers.vino import OpenVino
from tools.bench.subjects import Subject

PEERS: dict[str, Callable[[Subject, Path], Peer]] = {
    "ours": Ours,
    "PyTorch SDPA": TorchSdpa,
    "OpenVINO": OpenVino,
    "ONNX Runtime GenAI": OnnxRuntimeGenAI,
}

#: Peers that are not measured, with the reason.
ABSENT = {
    "OpenVINO GenAI": "reads models that optimum-intel converted, which adds its own stateful "
    "attention in place of this decoder; OpenVINO itself runs this one",
}
