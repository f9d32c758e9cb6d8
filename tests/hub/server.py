"""A server that speaks the hub's protocol as far as huggingface_hub needs it for models.

Repositories are in memory: each commit holds all files of its revision. Large files go through the
protocol of Git LFS, as on a hub that huggingface_hub speaks to without Xet.

``python -m tests.hub.server`` runs one until it is killed, and prints its user's variables.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import unquote, urlsplit

#: Files of this many bytes are stored through LFS.
LARGE = 1 << 16
#: The one user's token.
TOKEN = "hf_tests"
OWNER = "someone"


@dataclass
class Repository:
    """A repository of models.

    Attributes:
        private: only the user reads it.
        gated: nobody reads it.
        branches: the commits that they are at.
        commits: the files of each.
        messages: of each commit.
    """

    private: bool = False
    gated: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], message: str = "", branch: str = "main") -> str:
        """Add files on top of a branch; return the commit."""
        before = self.branches.get(branch, "")
        state = self.commits.get(before, {}) | files
        commit = hashlib.sha1(f"{before}{message}{len(self.commits)}".encode()).hexdigest()
        self.commits[commit], self.messages[commit] = state, message
        self.branches[branch] = commit
        return commit

    def find(self, revision: str) -> str | None:
        """Return the commit of a branch, or of itself."""
        commit = self.branches.get(revision, revision)
        return commit if commit in self.commits else None


@dataclass
class Hub:
    """The hub's state, and what goes wrong on it.

    Attributes:
        url: where it listens.
        repositories: by their names.
        stored: large files that were uploaded, by their SHA-256.
        requests: method and path of each.
        cut: files, as repository and path, of which half the bytes are sent.
    """

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    cut: set[tuple[str, str]] = field(default_factory=set)

    def resolved(self, name: str) -> list[tuple[str, str]]:
        """Return method and path of each request for a file of a repository."""
        files = [(method, path.split(f"/{name}/resolve/", 1)) for method, path in self.requests]
        return [(method, parts[1].split("/", 1)[1]) for method, parts in files if len(parts) > 1]


@contextmanager
def running() -> Iterator[Hub]:
    """Run a hub on this machine."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


class _RefusedError(Exception):
    """What is answered in place of a result."""

    def __init__(self, status: HTTPStatus, code: str = "", message: str = "") -> None:
        self.status, self.code, self.message = status, code, message


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path))
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = b"".join(self._chunks())
        try:
            for pattern, answer in _ROUTES.items():
                found = re.fullmatch(pattern, f"{self.command} {path}")
                if found:
                    return answer(self, **found.groupdict())
            raise _RefusedError(HTTPStatus.NOT_IMPLEMENTED, message=f"{self.command} {path}")
        except _RefusedError as refusal:
            headers = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.message}
            self._send(b"", refusal.status, {k: v for k, v in headers.items() if v})

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _send(
        self, data: bytes, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _json(self, document: Any) -> None:
        self._send(json.dumps(document).encode(), headers={"Content-Type": "application/json"})

    def _is_user(self) -> bool:
        given = self.headers.get("Authorization")
        if given not in (None, f"Bearer {TOKEN}"):
            message = "Invalid credentials in Authorization header"
            raise _RefusedError(HTTPStatus.UNAUTHORIZED, message=message)
        return given is not None

    def _require_user(self) -> None:
        if not self._is_user():
            raise _RefusedError(HTTPStatus.UNAUTHORIZED, message="Log in")

    def _repository(self, name: str, *, write: bool = False) -> Repository:
        if write:
            self._require_user()
        found = self.hub.repositories.get(name)
        if found is None or (found.private and not self._is_user()):
            self._is_user()
            raise _RefusedError(HTTPStatus.NOT_FOUND, "RepoNotFound", "Repository not found")
        if found.gated:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "GatedRepo", "Access is restricted")
        return found

    def _commit(self, repository: Repository, revision: str) -> str:
        commit = repository.find(revision)
        if commit is None:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "RevisionNotFound", "Invalid rev id")
        return commit

    def resolve(self, name: str, revision: str, file: str) -> None:
        """Send a file."""
        repository = self._repository(name)
        commit = self._commit(repository, revision)
        data = repository.commits[commit].get(file)
        if data is None:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}
        if len(data) >= LARGE:
            headers |= {
                "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
                "X-Linked-Size": str(len(data)),
            }
        if (name, file) in self.hub.cut and self.command == "GET":
            data = data[: len(data) // 2]
        self._send(data, headers=headers)

    def whoami(self) -> None:
        """Say who the token belongs to."""
        self._require_user()
        self._json({"type": "user", "name": OWNER, "orgs": []})

    def create(self) -> None:
        """Make a repository."""
        self._require_user()
        asked = json.loads(self.body)
        owner = asked.get("organization") or OWNER
        if owner != OWNER:
            raise _RefusedError(
                HTTPStatus.FORBIDDEN, message="You may not create repositories there"
            )
        name = f"{owner}/{asked['name']}"
        if name in self.hub.repositories:
            found = json.dumps({"url": f"{self.hub.url}/{name}"}).encode()
            return self._send(found, HTTPStatus.CONFLICT)
        private = asked.get("private") or asked.get("visibility") == "private"
        self.hub.repositories[name] = Repository(private=bool(private))
        self.hub.repositories[name].commit({}, "initial commit")
        return self._json({"url": f"{self.hub.url}/{name}"})

    def info(self, name: str, revision: str | None = None) -> None:
        """Describe a repository."""
        repository = self._repository(name)
        commit = self._commit(repository, revision or "main")
        files = repository.commits[commit]
        front = re.match(r"---\n(.*?)\n---", files.get("README.md", b"").decode(), re.DOTALL)
        lines = front[1].splitlines() if front else []
        card = dict(re.findall(r"^(\w+): (\S+)$", line)[0] for line in lines if ": " in line)
        self._json(
            {
                "id": name,
                "sha": commit,
                "private": repository.private,
                "cardData": card,
                "siblings": [{"rfilename": path} for path in files],
            }
        )

    def tree(self, name: str, revision: str) -> None:
        """List the files of a revision."""
        repository = self._repository(name)
        files = repository.commits[self._commit(repository, revision)]
        self._json(
            [
                {
                    "type": "file",
                    "path": path,
                    "size": len(data),
                    "oid": hashlib.sha1(data).hexdigest(),
                }
                for path, data in files.items()
            ]
        )

    def branch(self, name: str, revision: str) -> None:
        """Make a branch of the main one."""
        repository = self._repository(name, write=True)
        if revision in repository.branches:
            raise _RefusedError(HTTPStatus.CONFLICT, message="Reference already exists")
        repository.branches[revision] = repository.branches["main"]
        self._json({})

    def validate(self) -> None:
        """Find nothing wrong with a card's head."""
        self._json({"errors": [], "warnings": []})

    def preupload(self, name: str, revision: str) -> None:
        """Say how each file is to be uploaded."""
        self._repository(name, write=True)
        self._json(
            {
                "files": [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if file["size"] >= LARGE else "regular",
                        "shouldIgnore": False,
                    }
                    for file in json.loads(self.body)["files"]
                ]
            }
        )

    def batch(self, name: str) -> None:
        """Say where large files are to be put."""
        self._repository(name, write=True)
        objects = json.loads(self.body)["objects"]
        for entry in objects:
            if entry["oid"] not in self.hub.stored:
                entry["actions"] = {"upload": {"href": f"{self.hub.url}/storage/{entry['oid']}"}}
        self._json({"transfer": "basic", "objects": objects})

    def store(self, oid: str) -> None:
        """Keep a large file."""
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, message="Not the file that was announced")
        self.hub.stored[oid] = self.body
        self._send(b"")

    def commit(self, name: str, revision: str) -> None:
        """Add files in one commit."""
        repository = self._repository(name, write=True)
        self._commit(repository, revision)
        files: dict[str, bytes] = {}
        summary = ""
        for line in self.body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                summary = value["summary"]
            elif entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                files[value["path"]] = self.hub.stored[value["oid"]]
        commit = repository.commit(files, summary, revision)
        self._json({"commitOid": commit, "commitUrl": f"{self.hub.url}/{name}/commit/{commit}"})


_REPO, _REV = r"(?P<name>[\w.-]+/[\w.-]+)", r"(?P<revision>[^/]+)"
#: What answers which requests.
_ROUTES: dict[str, Callable[..., None]] = {
    rf"(?:GET|HEAD) /{_REPO}/resolve/{_REV}/(?P<file>.+)": _Handler.resolve,
    r"GET /api/whoami-v2": _Handler.whoami,
    r"POST /api/repos/create": _Handler.create,
    r"POST /api/validate-yaml": _Handler.validate,
    rf"GET /api/models/{_REPO}(?:/revision/{_REV})?": _Handler.info,
    rf"GET /api/models/{_REPO}/tree/{_REV}": _Handler.tree,
    rf"POST /api/models/{_REPO}/branch/{_REV}": _Handler.branch,
    rf"POST /api/models/{_REPO}/preupload/{_REV}": _Handler.preupload,
    rf"POST /api/models/{_REPO}/commit/{_REV}": _Handler.commit,
    rf"POST /{_REPO}\.git/info/lfs/objects/batch": _Handler.batch,
    r"PUT /storage/(?P<oid>\w+)": _Handler.store,
}

if __name__ == "__main__":
    with running() as served:
        print(f"export HF_ENDPOINT={served.url} HF_TOKEN={TOKEN}", flush=True)
        Event().wait()
