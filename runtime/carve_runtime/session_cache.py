"""Keep image sessions for images that are asked about again."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import TypeAlias

import numpy as np

from carve_runtime.decoder.model import Model
from carve_runtime.images.load import ImageInput
from carve_runtime.method.geometry import RGB
from carve_runtime.prompt.budget import ContextBudget
from carve_runtime.session import ImageSession
from carve_runtime.several.given import Images, are_several, each_of
from carve_runtime.several.session import SeveralSession
from carve_runtime.usage import Usage

#: Shape of an image, a digest of its content, and the most pixels that the model sees of it.
Key: TypeAlias = tuple[tuple[int, ...], bytes, int | None]

#: The kind of a session, and the key of each of its images.
SessionKey: TypeAlias = tuple[type, tuple[Key, ...]]

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


class Sessions:
    """Makes the sessions of one model, and keeps those last used. Thread-safe."""

    def __init__(self, model: Model, limit: int) -> None:
        """Keep at most ``limit`` bytes; 0 keeps nothing."""
        self._model = model
        self._cache = SessionCache(limit)

    @property
    def nbytes(self) -> int:
        """Bytes of the sessions kept."""
        return self._cache.nbytes

    def about(
        self,
        given: ImageInput | Images,
        budget: ContextBudget,
        usage: Usage,
        *,
        lower: bool = False,
        scout_pixels: int | None = None,
    ) -> tuple[SessionKey, ImageSession | SeveralSession]:
        """Return the session of an image or of a list of them, a new one if none is kept.

        Sessions grow while they are used, and one that failed is not kept: :meth:`keep` it
        afterwards.
        """
        kind: type[ImageSession | SeveralSession] = ImageSession
        if are_several(given):
            kind = SeveralSession
        pictures = [self._model.decode(image, usage) for image in each_of(given)]
        key = kind, tuple(image_key(picture, scout_pixels) for picture in pictures)
        session = self._cache.get(key, pictures) or kind(
            self._model, pictures, budget, usage, lower=lower, scout_pixels=scout_pixels
        )
        return key, session

    def keep(self, key: SessionKey, session: ImageSession | SeveralSession) -> None:
        """Keep a session that was just used."""
        self._cache.put(key, session)


class SessionCache:
    """Sessions by image, bounded in bytes; the one used longest ago goes first. Thread-safe."""

    def __init__(self, limit: int) -> None:
        """Keep at most ``limit`` bytes; 0 keeps nothing."""
        self._limit = limit
        self._sessions: OrderedDict[SessionKey, ImageSession | SeveralSession] = OrderedDict()
        self._lock = Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of the sessions kept."""
        with self._lock:
            return self._size()

    def get(self, key: SessionKey, pictures: Sequence[RGB]) -> ImageSession | SeveralSession | None:
        """Return the session of images with this key, if it is here."""
        with self._lock:
            session = self._sessions.get(key)
        return session if session is not None and session.shows(pictures) else None

    def put(self, key: SessionKey, session: ImageSession | SeveralSession) -> None:
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
