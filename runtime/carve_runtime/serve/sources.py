"""The picture that a request names by a URL: encoded in it, or fetched from elsewhere."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from carve_models.errors import ImageError
from carve_models.settings import shown
from carve_runtime.serve.options import RemoteOptions
from carve_runtime.serve.remote import fetch

_DATA = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
_REMOTE = re.compile(r"https?:", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """Where a picture comes from.

    Attributes:
        read: returns its encoded bytes.
        waits: whether that waits for a network, and does not compute.
    """

    read: Callable[[], bytes]
    waits: bool = False


def source_of(url: str, options: RemoteOptions) -> Source:
    """Return what reads the picture.

    Raises:
        ImageError: the URL is of a kind that is not read here.
    """
    data = _DATA.match(url)
    if data is not None:
        return Source(partial(_decoded, url, data.end()))
    if _REMOTE.match(url) is None:
        raise ImageError(
            f"image_url is {shown(url)}", "send a URL such as data:image/jpeg;base64,..."
        )
    if not options.allowed:
        raise ImageError(
            "image_url names a picture elsewhere, which this server does not fetch",
            "send it as a data URL, or start the server with --allow-remote-images",
        )
    return Source(partial(fetch, url, options), waits=True)


def _decoded(url: str, start: int) -> bytes:
    try:
        data = base64.b64decode(url[start:], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"the data URL is not base64: {error}", "encode the file again") from error
    if not data:
        raise ImageError("the data URL holds no picture", "encode the file again")
    return data
