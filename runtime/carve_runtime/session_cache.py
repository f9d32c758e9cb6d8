"""Keep image sessions for images that are asked about again."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from carve_models.settings import require_count
from carve_runtime.method.geometry import RGB

if TYPE_CHECKING:
    from carve_runtime.session import ImageSession

#: Shape of an image, a digest of its content, and the most pixels that the model sees of it.
Key: TypeAlias = tuple[tuple[int, ...], bytes, int | None]

_DIGEST_BYTES = 16

#: Pixels of which a digest takes every one; of larger images it takes as many at least.
_SAMPLE = 1 << 18


def image_key(image: RGB, max_pixels: int | None = None) -> Key:
    """Return what tells an (H, W, 3) uint8 image, seen at some size, from others.

    Of a large image the digest takes a grid of pixels only: who finds a session compares the rest.
    """
    height, width = image.shape[:2]
    step = max(math.isqrt(height * width // _SAMPLE), 1)
    content = np.ascontiguousarray(image[::step, ::step]).data
    digest = hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()
    return image.shape, digest, max_pixels


class SessionCache:
    """Sessions by image, bounded in bytes; the one used longest ago goes first. Thread-safe."""

    def __init__(self, limit: int) -> None:
        """Keep at most ``limit`` bytes; 0 keeps nothing."""
        require_count("image_cache_bytes", limit, low=0, most=math.inf)
        self._limit = limit
        self._sessions: OrderedDict[Key, ImageSession] = OrderedDict()
        self._lock = Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of the sessions kept."""
        with self._lock:
            return self._size()

    def get(self, key: Key, image: RGB) -> ImageSession | None:
        """Return the session of an image with this key, if it is here."""
        with self._lock:
            session = self._sessions.get(key)
        return session if session is not None and session.shows([image]) else None

    def put(self, key: Key, session: ImageSession) -> None:
        """Keep a session that was just used, and drop old ones until all fit.

        Sessions grow while they are used: put them again afterwards.
        """
        with self._lock:
            self._sessions[key] = session
            self._sessions.move_to_end(key)
            while self._sessions and self._size() > self._limit:
                self._sessions.popitem(last=False)

    def _size(self) -> int:
        return sum(session.nbytes for session in self._sessions.values())
