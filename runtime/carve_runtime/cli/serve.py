"""``carve-run serve``: OpenAI's chat completions over HTTP, from a bundle."""

from __future__ import annotations

import os
from pathlib import Path

import click

from carve_models.cli import HELP, ErrorCommand
from carve_models.errors import SettingsError
from carve_runtime.backends.protocol import BackendSettings
from carve_runtime.bundle import load_bundle
from carve_runtime.carve import IMAGE_CACHE_BYTES, Carve
from carve_runtime.cli.options.backend import (
    BUNDLE_ARGUMENT,
    REVISION_OPTION,
    VERIFY_OPTION,
    backend_options,
    bundle_folder,
)
from carve_runtime.images.load import MAX_IMAGE_PIXELS
from carve_runtime.late_import import late_import
from carve_runtime.serve import options as defaults
from carve_runtime.serve.options import RemoteOptions, ServeOptions

#: The environment variable that may hold the API key.
API_KEY = "CARVE_API_KEY"
_REMEDY = 'install FastAPI, uvicorn and Prometheus\' client: pip install "carve-vlm[serve]"'


@click.command(
    cls=ErrorCommand,
    context_settings=HELP | {"show_default": True},
    epilog="""\b
Examples:
  carve-run serve default
  carve-run serve my-bundle --port 9000 --workers 4 --api-key-file key.txt
  CARVE_API_KEY=secret carve-run serve my-bundle --host 0.0.0.0
""",
)
@BUNDLE_ARGUMENT
@click.option("--host", default=defaults.HOST, help="Address to listen at.")
@click.option("--port", type=int, default=defaults.PORT, help="Port; 0 is one that is free.")
@click.option(
    "--name", help="What requests call the bundle; its folder's name, or the hub's, if not given."
)
@click.option("--workers", type=int, default=defaults.WORKERS, help="Answers made at a time.")
@click.option("--queue", type=int, default=defaults.QUEUE, help="Requests that may wait besides.")
@click.option("--seconds", type=float, default=defaults.SECONDS, help="Time limit of a request.")
@click.option(
    "--max-body-bytes", type=int, default=defaults.BODY_BYTES, help="Most bytes of a request."
)
@click.option(
    "--api-key-file",
    type=click.Path(path_type=Path),
    help=f"File with the key that clients must send; the variable {API_KEY} may hold it instead.",
)
@click.option(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    metavar="HOST[:PORT]",
    help="What the header Host may say besides, behind a proxy for instance.",
)
@click.option(
    "--site",
    type=click.Path(path_type=Path),
    help="Folder of the page that computes in the browser, to serve it at /browser/.",
)
@click.option("--allow-remote-images", is_flag=True, help="Fetch pictures from http(s) addresses.")
@click.option(
    "--allow-private-addresses", is_flag=True, help="From this machine and private networks too."
)
@click.option(
    "--remote-seconds",
    type=float,
    default=defaults.REMOTE_SECONDS,
    help="Time limit of fetching a picture.",
)
@click.option(
    "--image-cache-bytes",
    type=int,
    default=IMAGE_CACHE_BYTES,
    help="Memory for what was computed of the images last asked about.",
)
@click.option(
    "--max-image-pixels",
    type=int,
    default=MAX_IMAGE_PIXELS,
    help="Most pixels of a picture; reading more takes more than 1 GB.",
)
@click.option("--access-log/--no-access-log", default=False, help="Print a line for each request.")
@backend_options
@REVISION_OPTION
@VERIFY_OPTION
def serve(
    bundle: str,
    host: str,
    port: int,
    name: str | None,
    workers: int,
    queue: int,
    seconds: float,
    max_body_bytes: int,
    api_key_file: Path | None,
    allowed_hosts: tuple[str, ...],
    site: Path | None,
    allow_remote_images: bool,
    allow_private_addresses: bool,
    remote_seconds: float,
    image_cache_bytes: int,
    max_image_pixels: int,
    access_log: bool,
    backend: BackendSettings,
    verify: bool | None,
    revision: str | None,
) -> None:
    """Answer OpenAI's chat completions with BUNDLE, over HTTP.

    BUNDLE is a folder that carve-export wrote, or "default" for the one that ships with the
    package. The address that is printed also shows a page to try it. Ctrl+C ends the server once
    the answers under way are sent.
    """
    folder = bundle_folder(bundle, revision)
    options = ServeOptions(
        model=name or _name(bundle, folder),
        host=host,
        port=port,
        workers=workers,
        queue=queue,
        seconds=seconds,
        max_body_bytes=max_body_bytes,
        api_key=_api_key(api_key_file),
        allowed_hosts=allowed_hosts,
        site=site,
        remote=RemoteOptions(
            allowed=allow_remote_images,
            private=allow_private_addresses,
            max_bytes=max_body_bytes,
            seconds=remote_seconds,
        ),
    )
    server = late_import("carve_runtime.serve.server", "the server", _REMEDY)
    with server.listen(options) as listening:
        vlm = load_bundle(
            folder,
            lambda opened: Carve(opened, backend, image_cache_bytes, max_image_pixels),
            verify=verify,
        )
        if not options.is_local and options.api_key is None:
            click.echo(
                "Warning: everybody who reaches this server can use it. Set a key.", err=True
            )
        click.echo(f"{options.model} at {server.address(options, listening)}  (Ctrl+C ends it)")
        server.serve(vlm, options, listening, access_log=access_log)


def _name(bundle: str, folder: Path | None) -> str:
    """Return what to call BUNDLE: its folder's name, or as it is written if it is none."""
    return folder.resolve().name if folder == Path(bundle) else bundle


def _api_key(file: Path | None) -> str | None:
    """Return the key that a file or the environment holds, without white space around it.

    Raises:
        SettingsError: the file holds no line of plain characters.
    """
    key = os.environ.get(API_KEY) if file is None else file.read_text(encoding="utf-8")
    if key is None:
        return None
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise SettingsError(
            f"{file or API_KEY} holds no API key", "write one line of ASCII characters"
        )
    return key
