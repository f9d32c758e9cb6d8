"""What the server refuses, with OpenAI's error object; afterwards it answers as before."""

from __future__ import annotations

import json
import re
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from carve_models.errors import CarveError
from carve_runtime.serve.refusals import REPLIES
from tests.runtime.cli.test_refusals import huge_png
from tests.runtime.serve.serving import (
    BODY_BYTES,
    HANGS,
    SCENE,
    Server,
    answers,
    chat,
    data_url,
    messages,
    refused,
)
from tests.support import ROOT

TOOL = {"type": "function", "function": {"name": "look"}}


def message(*content: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(content)}]}


def carve(**fields: Any) -> dict[str, Any]:
    return {"carve": fields}


SHORT = messages(b"never read")
PICTURE, ASKED = SHORT[0]["content"]
REQUESTS: dict[str, tuple[dict[str, Any], str, str, str | None]] = {
    # name: (fields, code, message, param)
    "other model": ({"model": "gpt"}, "model_not_found", r"no model 'gpt' here\. Ask for", None),
    "no model": ({"model": None}, "invalid_request", "model: Input should be", "model"),
    "no messages": ({"messages": []}, "invalid_request", "has 0 messages: send one", "messages"),
    "history": ({"messages": SHORT * 2}, "invalid_request", "has 2 messages", "messages"),
    "system": (
        message(ASKED, PICTURE, role="system"),
        "invalid_request",
        "role is 'system': the bundle has its own prompt",
        "messages[0].role",
    ),
    "text alone": (
        {"messages": [{"role": "user", "content": "What?"}]},
        "invalid_request",
        "content: Input should be a valid list",
        "messages[0].content",
    ),
    "no picture": (message(ASKED), "invalid_request", "0 parts of type image_url: send", None),
    "two pictures": (message(PICTURE, PICTURE, ASKED), "invalid_request", "2 parts of ty", None),
    "two questions": (message(PICTURE, ASKED, ASKED), "invalid_request", "2 parts of type t", None),
    "sound": (message(PICTURE, ASKED, {"type": "input_audio"}), "invalid_request", "type:", None),
    "empty part": (message({"type": "image_url"}, ASKED), "invalid_request", "send image_u", None),
    "detail": (
        message({"type": "image_url", "image_url": {"url": data_url(), "detail": "low"}}, ASKED),
        "invalid_request",
        "detail is 'low': .*carve.scout_pixels",
        "messages[0].content[0].image_url.detail",
    ),
    "empty question": (
        {"messages": messages(question=" ")},
        "invalid_prompt",
        "question is empty",
        None,
    ),
    "long question": (
        {"messages": messages(question="what " * 999)},
        "invalid_prompt",
        r"1024\. Shorten the question",
        None,
    ),
    "surrogate": ({"messages": messages(question="\ud800")}, "invalid_prompt", "Unicode", None),
    "surrogate as a name": (
        {"messages": [messages()[0] | {"\ud800": 1}]},
        "invalid_request",
        r"messages\[0\]: .*unicode",
        None,
    ),
    "temperature": ({"temperature": 0.7}, "invalid_request", r"temperature 0\.7: .* be 0 or", None),
    "several answers": ({"n": 2}, "invalid_request", "n 2: .* be 1 or left out", None),
    "tools": ({"tools": [TOOL]}, "invalid_request", r"tools \[.* be \[\] or left out", None),
    "stop": ({"stop": ["."]}, "invalid_request", r"has stop ", None),
    "JSON": ({"response_format": {"type": "json_object"}}, "invalid_request", "response_fo", None),
    "logprobs": ({"logprobs": True}, "invalid_request", "logprobs True", None),
    "unknown field": ({"shiny": 1}, "invalid_request", "has a field 'shiny', which the", None),
    "stream options": (
        {"stream_options": {}, "stream": False},
        "invalid_request",
        "go with stream true",
        None,
    ),
    "stream": ({"stream": "yes"}, "invalid_request", "stream: Input should be", "stream"),
    "no tokens": ({"max_tokens": 0}, "invalid_settings", "max_new_tokens is 0", None),
    "two limits": (
        {"max_tokens": 3, "max_completion_tokens": 4},
        "invalid_request",
        "max_tokens and max_completion_tokens differ",
        "max_tokens",
    ),
    "unknown setting": (carve(shiny=1), "invalid_request", "knows no setting 'shiny'", "carve"),
    "a name of Python": (carve(on_token=1), "invalid_request", "no setting 'on_token'", "carve"),
    "unknown extra": (carve(include=["soul"]), "invalid_request", "no extra 'soul'", "carve"),
    "setting out of range": (carve(mask_top_p=3), "invalid_settings", r"mask_top_p is 3\.", None),
    "setting of a wrong type": (carve(layers="all"), "invalid_settings", "layers is 'all'", None),
    "layer that is not tapped": (carve(layers=[9]), "invalid_settings", "expose layer 9", None),
    "variant": (carve(variant="v9"), "invalid_settings", "variant is 'v9'", None),
    "plain with settings": (
        carve(plain=True, mask_top_p=0.1),
        "invalid_request",
        "mask_top_p, .* nothing with plain",
        "carve",
    ),
    "plain with pictures": (carve(plain=True, include=["mask"]), "invalid_request", "mask", None),
}
IMAGES = {
    "no picture": (b"hello", r"is not an image that Pillow can read"),
    "half a picture": (SCENE.read_bytes()[:5000], r"cannot be decoded: .*truncated"),
    "bomb": (huge_png(), r"is too large: .*\. Scale"),
}
URLS = {
    "not base64": ("data:image/png;base64,!!!!", "data URL is not base64"),
    "cut base64": ("data:image/png;base64,QUJDRA", "data URL is not base64"),
    "empty": ("data:image/png;base64,", "holds no picture"),
    "percent": ("data:image/png,%89PNG", r"Send a URL such as data:image/jpeg;base64"),
    "text": ("data:text/html;base64,QUJD", r"Send a URL such as"),
    "a file": ("file:///etc/passwd", r"image_url is 'file:"),
    "a path": ("models/pocket/example.jpg", r"image_url is 'models"),
    "elsewhere": ("http://localhost/x.png", r"does not fetch\. .*--allow-remote-images"),
}
#: Bytes of a body, and what is said of them.
BODIES: dict[str, tuple[bytes, int, str]] = {
    "broken JSON": (b'{"model": ', 400, "JSON"),
    "no JSON": (b"model=pocket", 400, "JSON"),
    "not an object": (b"[]", 400, "valid dictionary"),
    "nothing": (b"", 400, "Field required"),
    "not UTF-8": (b'{"model": "\xff"}', 400, "JSON"),
    "nested": (b"[" * 100_000, 400, "JSON"),
    "a huge number": (b'{"max_tokens": ' + b"9" * 5000 + b"}", 400, "JSON"),
    "too large": (b" " * (BODY_BYTES + 1), 413, f"more than {BODY_BYTES} bytes"),
    "lists": (b'{"user": [' + b"[]," * 100_000 + b"[]]}", 413, "before or behind its picture"),
    "numbers": (b'{"user": [' + b"1," * 100_000 + b"1]}", 413, "before or behind its picture"),
    "two pictures": (json.dumps(chat(messages=messages() * 2)).encode(), 413, "Send one picture"),
    "strings": (b'{"user": [' + b'"",' * 100_000 + b'""]}', 413, "before or behind its picture"),
}


STATUS = {reply.code: reply.status for reply in REPLIES.values()}


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("stream", [False, True])
def test_requests(name: str, stream: bool, server: Server) -> None:
    fields, code, pattern, param = REQUESTS[name]
    body = json.dumps(chat(**({"stream": True} if stream else {}) | fields)).encode()
    error = refused(server.post(body), STATUS[code], code, pattern)
    if param is not None:
        assert error["param"] == param


@pytest.mark.parametrize("name", IMAGES)
def test_pictures(name: str, server: Server) -> None:
    data, pattern = IMAGES[name]
    refused(server.post(chat(messages=messages(data))), 400, "invalid_image", pattern)
    answers(server)


@pytest.mark.parametrize("name", URLS)
def test_urls(name: str, server: Server) -> None:
    url, pattern = URLS[name]
    refused(server.post(chat(messages=messages(url))), 400, "invalid_image", pattern)


@pytest.mark.parametrize("name", BODIES)
def test_bodies(name: str, server: Server) -> None:
    body, status, pattern = BODIES[name]
    code = {400: "invalid_request", 413: "request_too_large"}[status]
    refused(server.post(body), status, code, pattern)
    answers(server)


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("behind", [False, True])
def test_a_large_picture(escaped: bool, behind: bool, server: Server) -> None:
    """Whichever place it has in the request, and with slashes as PHP writes them."""
    picture = SCENE.read_bytes()
    large = picture + b"\xff" * (BODY_BYTES // 2 - len(picture))  # written as slashes
    body = chat(messages=messages(large), user="u" * 60_000)
    text = json.dumps(dict(reversed(body.items())) if behind else body)
    done = server.post((text.replace("/", "\\/") if escaped else text).encode())
    assert done.status_code == (413 if escaped else 200), done.text


def test_a_body_of_100_mb(server: Server) -> None:
    """A client that reads when it has sent everything reads why it was refused."""
    where = urlsplit(server.url)
    connection = HTTPConnection(where.netloc, timeout=HANGS)
    with closing(connection):
        connection.request("POST", "/v1/chat/completions", bytes(100_000_000))
        response = connection.getresponse()
        assert response.status == 413
        assert json.load(response)["error"]["code"] == "request_too_large"
    answers(server)


def test_a_body_of_unknown_length_is_not_kept(server: Server) -> None:
    """Sent in chunks, without the header that announces its size."""
    chunk = b" " * (1 << 20)
    before = server.metric("process_resident_memory_bytes")
    url = f"{server.url}v1/chat/completions"
    headers = {"Content-Type": "application/json"}
    response = server.http.post(url, content=(chunk for _ in range(100)), headers=headers)
    refused(response, 413, "request_too_large", "more than")
    assert server.metric("process_resident_memory_bytes") - before < 50e6
    answers(server)


def test_another_type_of_content(server: Server) -> None:
    """A form of a foreign page may be sent without asking; it is no JSON."""
    headers = {"Content-Type": "text/plain"}
    response = server.post(json.dumps(chat()).encode(), headers=headers)
    wanted = "Content-Type is 'text/plain'. Send Content-Type: application/json"
    refused(response, 400, "invalid_request", wanted)


def test_the_page_of_the_documentation_lists_every_error() -> None:
    table = (ROOT / "docs" / "serve.md").read_text()
    rows = set(re.findall(r"^\| (\d+) \| `(\w+)` \|", table, re.MULTILINE))
    assert rows == {(str(reply.status), reply.code) for reply in REPLIES.values()}


def test_every_error_of_the_server_has_a_reply() -> None:
    from carve_runtime.serve import refusals

    own = [each for each in vars(refusals).values() if isinstance(each, type)]
    errors = [each for each in own if issubclass(each, CarveError) and each is not CarveError]
    missing = {each.__name__ for each in errors if each not in REPLIES}
    assert missing == {"AddressError"}  # told on the command line
