"""`carve-run serve` for OpenAI's JavaScript client, and its pages in Chromium."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from carve_runtime import Carve
from tests.consumers.building import QUESTION
from tests.consumers.node import node, node_tests
from tests.runtime.serve.serving import MODEL, Server, running
from tests.support import POCKET, ROOT

CLIENT = Path(__file__).parent / "openai_js"
PAGES = ROOT / "runtime" / "js"
IMAGE = POCKET / "example.jpg"
KEY = "a-key"


def asked(server: Server, vlm: Carve, folder: Path, **changes: Any) -> str:
    """Write what the tests under node ask, with Python's answer; return the file."""
    result = vlm.ask(IMAGE, QUESTION, **changes)
    file = folder / "chat.json"
    given = {
        "url": server.url,
        "model": MODEL,
        "key": KEY,
        "image": str(IMAGE),
        "question": QUESTION,
        "carve": changes,
        "answer": result.answer,
        "plain": result.plain_answer,
        "bbox": result.bbox,
    }
    file.write_text(json.dumps(given))
    return str(file)


def test_openais_client(pocket: Carve, tmp_path: Path) -> None:
    with running(pocket, api_key=KEY) as server:
        chat = asked(server, pocket, tmp_path, variant="v3", mask_top_p=0.05)
        assert node_tests(CLIENT, CLIENT / "chat.test.mjs", CARVE_CHAT=chat) == 8


def test_the_pages(pocket: Carve, tmp_path: Path) -> None:
    """The one that asks the server, and the one that computes in the browser."""
    site = tmp_path / "site"
    code = "const [, bundle, site] = process.argv; await (await import('./tools/site.js'))"
    node(PAGES, "node", "--input-type=module", "-e", f"{code}.assemble(bundle, site)", POCKET, site)
    with running(pocket, api_key=KEY, site=site) as server:
        chat = asked(server, pocket, tmp_path)
        script = Path(__file__).parent / "js" / "server_pages.test.mjs"
        assert node_tests(PAGES, script, CARVE_CHAT=chat) == 2
