"""What a server is told at its start."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from carve_models.errors import SettingsError
from carve_models.settings import require_count, require_range

LOOPBACK = ("127.0.0.1", "localhost", "::1")
HOST, PORT = LOOPBACK[0], 8000
WORKERS, QUEUE = 2, 32
#: From a request's arrival to the end of its answer.
SECONDS = 120.0
#: A picture of 15 MB, written in base64.
BODY_BYTES = 20 << 20
#: To fetch a picture from elsewhere.
REMOTE_SECONDS = 10.0
#: What clients leave out of the header Host.
_DEFAULT_PORT = 80
_LARGEST_PORT = (1 << 16) - 1
#: Of a time limit, in seconds.
_SHORTEST, _LONGEST = 0.001, 86_400.0


@dataclass(frozen=True, kw_only=True)
class RemoteOptions:
    """How pictures are fetched from addresses that requests name.

    Attributes:
        allowed: at all.
        private: also from this machine and from networks that are not public.
        max_bytes: most bytes of one.
        seconds: until it must be here.
    """

    allowed: bool = False
    private: bool = False
    max_bytes: int = BODY_BYTES
    seconds: float = REMOTE_SECONDS

    def __post_init__(self) -> None:
        if self.private and not self.allowed:
            raise SettingsError(
                "private addresses are allowed, and remote pictures are not",
                "allow remote pictures too",
            )
        require_count("max_bytes", self.max_bytes)
        require_range("remote_seconds", self.seconds, _SHORTEST, _LONGEST)


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """One server.

    Attributes:
        model: the name that requests call the bundle by.
        host: address to listen at.
        port: 0 is one that is free.
        workers: questions that are answered at the same time.
        queue: requests that may wait besides; more are refused.
        seconds: from a request's arrival to the end of its answer.
        max_body_bytes: most bytes of a request.
        api_key: what clients must send; ``None`` lets everybody ask.
        allowed_hosts: what the header Host may say besides the server's own names, port included.
        site: folder of the page that computes in the browser.
        remote: pictures that lie elsewhere.
    """

    model: str
    host: str = HOST
    port: int = PORT
    workers: int = WORKERS
    queue: int = QUEUE
    seconds: float = SECONDS
    max_body_bytes: int = BODY_BYTES
    api_key: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    site: Path | None = None
    remote: RemoteOptions = field(default_factory=RemoteOptions)

    def __post_init__(self) -> None:
        require_count("port", self.port, low=0, most=_LARGEST_PORT)
        require_count("workers", self.workers)
        require_count("queue", self.queue, low=0)
        require_range("seconds", self.seconds, _SHORTEST, _LONGEST)
        require_count("max_body_bytes", self.max_body_bytes)
        if self.api_key is not None and not self.api_key.strip():
            raise SettingsError("the API key is empty", "write one into the file")
        if self.site is not None and not (self.site / "index.html").is_file():
            raise SettingsError(
                f"{self.site} has no index.html",
                "name the folder that `npm run demo` in runtime/js has written",
            )

    @property
    def places(self) -> int:
        """Requests that are taken at the same time, those being answered included."""
        return self.workers + self.queue

    @property
    def is_local(self) -> bool:
        """Whether this machine alone can reach the server."""
        return self.host in LOOPBACK

    def hosts(self, port: int) -> frozenset[str] | None:
        """Return what the header Host may say, for the port in use; ``None`` is anything.

        A server that others reach cannot know its own names.
        """
        if not self.is_local:
            return frozenset(self.allowed_hosts) or None
        names = ("127.0.0.1", "localhost", "[::1]")
        own = {f"{name}:{port}" for name in names}.union(names if port == _DEFAULT_PORT else ())
        return frozenset(own).union(self.allowed_hosts)
