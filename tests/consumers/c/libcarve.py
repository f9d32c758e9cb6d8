"""``carve.h`` through ctypes: the tests call the C library itself."""

from __future__ import annotations

import ctypes as c
from pathlib import Path
from typing import Any

import numpy as np

FUNCTIONS = (
    *("open", "defaults", "set_variant", "look", "look_with", "ask", "plain", "plain_with"),
    *("attend", "cancel", "change", "read", "read_attention"),
)
#: What has a function ``carve_NAME_free``.
HANDLES = ("attention", "result", "view", "model")
AUTO = NONE = -1.0
OK, INVALID, BUNDLE, IMAGE, PROMPT, SETTINGS, PROVIDER, RUN, UNSUPPORTED, MEMORY, CANCELLED = range(
    11
)

#: ``carve_token_function``; stages are those of ``STAGES``.
TokenFunction = c.CFUNCTYPE(c.c_int32, c.c_void_p, c.c_int, c.c_char_p)
STAGES = ("question", "general", "final")


class Status(c.Structure):
    _fields_ = [("code", c.c_int), ("message", c.c_char * 508)]


class OpenOptions(c.Structure):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("provider", c.c_char_p),
        ("device", c.c_int32),
        ("threads", c.c_int32),
        ("sizes_only", c.c_int32),
        ("prompts", c.c_char_p),
    ]


class AskOptions(c.Structure):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("layers", c.POINTER(c.c_int32)),
        ("layer_count", c.c_size_t),
        *[(name, c.c_int) for name in ("steps", "strategy", "rule", "geometry", "final_prompt")],
        *[(name, c.c_double) for name in ("mask_top_p", "outlier_percent", "regularizer")],
        ("max_regions", c.c_int32),
        ("max_new_tokens", c.c_int32),
        ("max_refined_pixels", c.c_int64),
        ("contrast", c.c_int),
        ("scout_pixels", c.c_int64),
        ("final_pixels", c.c_int64),
        ("sure_probability", c.c_double),
        ("focused_entropy", c.c_double),
        ("resize_refined", c.c_int),
        ("early_exit", c.c_int32),
        ("adaptive", c.c_int32),
        ("on_token", TokenFunction),
        ("on_token_context", c.c_void_p),
        ("method", c.c_int),
    ]


class LookOptions(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("scout_pixels", c.c_int64)]


class Image(c.Structure):
    _fields_ = [
        ("pixels", c.c_void_p),
        ("width", c.c_int32),
        ("height", c.c_int32),
        ("row_bytes", c.c_size_t),
    ]


class PlainOptions(c.Structure):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("max_new_tokens", c.c_int32),
        ("on_token", TokenFunction),
        ("on_token_context", c.c_void_p),
        ("refined", c.POINTER(Image)),
    ]


class AttendOptions(c.Structure):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("generate", c.c_int32),
        ("on_token", TokenFunction),
        ("on_token_context", c.c_void_p),
    ]


class AttentionReading(c.Structure):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("rows", c.POINTER(c.c_float)),
        *[(name, c.c_size_t) for name in ("step_count", "layer_count", "positions")],
        ("layers", c.POINTER(c.c_int32)),
        ("ids", c.POINTER(c.c_int64)),
        ("tokens", c.POINTER(c.c_char_p)),
        ("words", c.POINTER(c.c_char_p)),
        ("answer", c.c_char_p),
        ("map_tokens", c.POINTER(c.c_int64)),
        ("grid_rows", c.c_int32),
        ("grid_columns", c.c_int32),
        ("window", c.c_double * 4),
        ("width", c.c_int32),
        ("height", c.c_int32),
        ("mass", c.POINTER(c.c_double)),
        ("entropy", c.POINTER(c.c_double)),
    ]


class Reading(c.Structure):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("answer", c.c_char_p),
        ("plain_answer", c.c_char_p),
        ("ids", c.POINTER(c.c_int64)),
        ("id_count", c.c_size_t),
        ("plain_ids", c.POINTER(c.c_int64)),
        ("plain_id_count", c.c_size_t),
        ("width", c.c_int32),
        ("height", c.c_int32),
        ("saliency", c.POINTER(c.c_float)),
        ("mask", c.POINTER(c.c_uint8)),
        ("box", c.c_int32 * 4),
        ("refined", c.POINTER(c.c_uint8)),
        ("refined_width", c.c_int32),
        ("refined_height", c.c_int32),
        ("refined_limited", c.c_int32),
        ("plain_probability", c.c_double),
        ("entropy", c.c_double),
        ("skipped", c.c_char_p),
        ("rows", c.c_int32),
        ("columns", c.c_int32),
        ("vision_runs", c.c_int64),
        ("decoder_tokens", c.c_int64),
        ("layer_tokens", c.c_int64),
        ("probability", c.c_double),
    ]


#: Sizes of the structures in their first version, which programs may have been compiled with.
FIRST_ASK_OPTIONS, FIRST_READING = AskOptions.scout_pixels.offset, Reading.plain_probability.offset


class LibcarveError(Exception):
    """A call returned another code than ``CARVE_OK``."""

    def __init__(self, status: Status) -> None:
        super().__init__(f"{status.code}: {status.message.decode(errors='replace')}")
        self.code = status.code


class Library:
    """The library, with Python's exceptions for statuses."""

    def __init__(self, path: Path) -> None:
        self.c = c.CDLL(str(path))
        for name in FUNCTIONS:
            getattr(self.c, f"carve_{name}").restype = Status
        for name in HANDLES:
            free = getattr(self.c, f"carve_{name}_free")
            free.argtypes, free.restype = [c.c_void_p], None

    def call(self, name: str, *arguments: Any) -> None:
        status = getattr(self.c, f"carve_{name}")(*arguments)
        if status.code != OK:
            raise LibcarveError(status)
        assert status.message == b""

    def create(self, name: str, *arguments: Any) -> c.c_void_p:
        """Return the handle that a call creates; a failed call must have set it to NULL."""
        handle = c.c_void_p(1)
        try:
            self.call(name, *arguments, c.byref(handle))
        except LibcarveError:
            assert handle.value is None
            raise
        return handle

    def open(self, folder: Path, **options: Any) -> c.c_void_p:
        given = OpenOptions(c.sizeof(OpenOptions), **options)
        return self.create("open", str(folder).encode(), c.byref(given))

    def look(
        self, model: c.c_void_p, picture: Any, scout_pixels: int | None = None, **changes: Any
    ) -> c.c_void_p:
        image = image_over(picture)
        for name, value in changes.items():
            setattr(image, name, value)
        if scout_pixels is None:
            return self.create("look", model, c.byref(image))
        options = LookOptions(c.sizeof(LookOptions), scout_pixels)
        return self.create("look_with", model, c.byref(image), c.byref(options))

    def change(self, view: c.c_void_p, picture: Any) -> float:
        """Return how much another picture differs from a view's."""
        change = c.c_double(-1)
        self.call("change", view, c.byref(image_over(picture)), c.byref(change))
        return change.value

    def options(self, model: c.c_void_p, **changes: Any) -> AskOptions:
        options = AskOptions(c.sizeof(AskOptions))
        self.call("defaults", model, c.byref(options))
        for name, value in changes.items():
            setattr(options, name, value)
        return options

    def ask(self, view: c.c_void_p, question: str, options: AskOptions | None = None) -> Any:
        given = c.byref(options) if options is not None else None
        return self.create("ask", view, question.encode("utf-8", "surrogateescape"), given)

    def attend(self, view: c.c_void_p, text: str, **options: Any) -> c.c_void_p:
        given = AttendOptions(c.sizeof(AttendOptions), **options)
        return self.create("attend", view, text.encode("utf-8", "surrogateescape"), c.byref(given))

    def read_attention(self, attention: c.c_void_p) -> AttentionReading:
        reading = AttentionReading(c.sizeof(AttentionReading))
        self.call("read_attention", attention, c.byref(reading))
        return reading

    def read(self, result: c.c_void_p) -> Reading:
        reading = Reading(c.sizeof(Reading))
        self.call("read", result, c.byref(reading))
        return reading


def image_over(picture: Any) -> Image:
    """Return an (H, W, 3) uint8 array as C has it."""
    height, width, _ = picture.shape
    return Image(picture.ctypes.data, width, height, picture.strides[0])


def array(pointer: Any, *shape: int) -> Any:
    """Return a copy of C memory."""
    return np.ctypeslib.as_array(pointer, shape).copy()
