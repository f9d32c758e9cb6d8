"""A server of pocket for the tests of one file, which answers after all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from carve_runtime import Carve
from tests.runtime.serve.serving import BODY_BYTES, Server, answers, running


@pytest.fixture(scope="module")
def server(pocket: Carve) -> Iterator[Server]:
    with running(pocket, max_body_bytes=BODY_BYTES) as server:
        yield server
        answers(server)  # after all that
