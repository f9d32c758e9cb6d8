"""Ask a vision-language model about the part of a picture that the question points to.

The runtime needs numpy and ONNX Runtime, no PyTorch. The algorithm alone (:func:`fuse_contrast`,
:func:`select_regions`, :func:`refine_image`) needs no ONNX Runtime either.
"""

import logging

from carve_models.errors import (
    BundleError,
    CarveError,
    DependencyError,
    EngineError,
    FamilyError,
    HubError,
    ImageError,
    PromptError,
    ProviderError,
    RecordError,
    RunError,
    SchemaError,
    SettingsError,
    VideoError,
)
from carve_models.settings import Settings
from carve_runtime.attention.attention import Attention
from carve_runtime.carve import Carve
from carve_runtime.images.load import load_image
from carve_runtime.images.refine import refine_image
from carve_runtime.method.contrast import fuse_contrast
from carve_runtime.method.diagnostics import attention_entropy
from carve_runtime.method.regions import select_regions
from carve_runtime.pictures import draw_result
from carve_runtime.prompt.request import Token
from carve_runtime.result import CarveResult, PlainResult
from carve_runtime.session import ImageSession
from carve_runtime.several.result import ImagePart, SeveralResult
from carve_runtime.several.session import SeveralSession
from carve_runtime.video.attention import ClipAttention
from carve_runtime.video.over_time.interval import ClipSettings
from carve_runtime.video.over_time.result import VideoResult
from carve_runtime.video.session import VideoSession
from carve_runtime.video.video import Video
from carve_runtime.watch.watch import Watch
from carve_runtime.watch.watched import Watched, WatchSettings

__all__ = [
    "Attention",
    "BundleError",
    "Carve",
    "CarveError",
    "CarveResult",
    "ClipAttention",
    "ClipSettings",
    "DependencyError",
    "EngineError",
    "FamilyError",
    "HubError",
    "ImageError",
    "ImagePart",
    "ImageSession",
    "PlainResult",
    "PromptError",
    "ProviderError",
    "RecordError",
    "RunError",
    "SchemaError",
    "Settings",
    "SettingsError",
    "SeveralResult",
    "SeveralSession",
    "Token",
    "Video",
    "VideoError",
    "VideoResult",
    "VideoSession",
    "Watch",
    "WatchSettings",
    "Watched",
    "attention_entropy",
    "draw_result",
    "fuse_contrast",
    "load_image",
    "refine_image",
    "select_regions",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("carve-vlm")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
