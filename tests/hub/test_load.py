"""Bundles by their names on the hub, fetched by real clients from a real server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from carve_models.manifest import read_manifest
from carve_models.names import MANIFEST_FILE
from carve_runtime import Carve
from tests.hub.conftest import LONGEST, Client, Done, Place, Run, pocket_files
from tests.hub.server import TOKEN, Repository
from tests.support import POCKET
from tools.shared.server import serving

IMAGE = POCKET / "example.jpg"
QUESTION = "What word is on the purple square?"
LISTED = sorted(read_manifest(POCKET).files)
VISION = "onnx/vision_encoder.onnx"
NOBODY = "http://127.0.0.1:9"


def done(result: Done) -> Any:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_repository_answers_as_its_folder(place: Place, carve_run: Run, pocket: Carve) -> None:
    ask = "ask", place.name, IMAGE, QUESTION, "--json"
    expected = pocket.ask(IMAGE, QUESTION)
    first = done(carve_run(*ask))
    assert (first["answer"], first["plain_answer"]) == (expected.answer, expected.plain_answer)
    assert tuple(first["bbox"]) == expected.bbox
    # What the bundle lists, once; neither pictures nor the checkpoint.
    assert sorted(place.sent()) == sorted([MANIFEST_FILE, *LISTED])
    # The folder is one for every consumer: without links.
    (folder,) = place.bundles()
    assert not [path for path in folder.rglob("*") if path.is_symlink()]

    assert done(carve_run(*ask, HF_HUB_OFFLINE="1"))["answer"] == expected.answer
    assert not place.hub.resolved(place.name)
    assert done(carve_run(*ask, HF_ENDPOINT=NOBODY))["answer"] == expected.answer


def test_a_server_is_named_as_the_repository(place: Place, environment: dict[str, str]) -> None:
    with serving(place.name, **environment) as (url, _):
        (model,) = httpx.get(f"{url}v1/models").json()["data"]
    assert model["id"] == place.name


def test_a_commit_is_kept(place: Place, client: Client, pocket: Carve) -> None:
    first = place.repository.branches["main"]
    place.repository.commit({MANIFEST_FILE: b"{}", VISION: b""})  # what came after is of no use
    answer = client.load(place.name, IMAGE, QUESTION, revision=first)
    assert answer == pocket.ask(IMAGE, QUESTION).answer


def test_a_branch_is_followed(place: Place, client: Client) -> None:
    assert client.load(place.name) == "llava"
    changed = pocket_files()[MANIFEST_FILE].replace(b'"family": "llava"', b'"family": "other"')
    place.repository.commit({MANIFEST_FILE: changed})
    assert client.load(place.name) == "other"


def test_a_private_repository_takes_a_token(place: Place, client: Client) -> None:
    place.repository.private = True
    with pytest.raises(RuntimeError, match="or none that you may read"):
        client.load(place.name, token=False)
    assert client.load(place.name, token=TOKEN) == "llava"


def test_a_folder_in_a_repository(place: Place, client: Client) -> None:
    inside = {f"small/int8/{path}": data for path, data in pocket_files().items()}
    place.hub.repositories[place.name] = Repository()
    place.hub.repositories[place.name].commit(inside)
    assert client.load(f"{place.name}/small/int8") == "llava"
    assert sorted(place.sent()) == sorted(f"small/int8/{f}" for f in [MANIFEST_FILE, *LISTED])


def test_what_is_here_comes_first(place: Place, user: Path, client: Client) -> None:
    (user / place.name).parent.mkdir(exist_ok=True)
    (user / place.name).symlink_to(POCKET)
    assert client.load(place.name) == "llava"
    assert not place.hub.requests


def test_what_came_whole_is_not_fetched_again(place: Place, client: Client) -> None:
    place.hub.cut.add((place.name, VISION))
    with pytest.raises(RuntimeError, match="HubError"):
        client.load(place.name)
    before = set(place.sent()) - {VISION, MANIFEST_FILE}
    assert before
    place.hub.cut.clear()
    assert client.load(place.name) == "llava"
    assert set(place.sent()) == set(LISTED) - before


def test_a_file_that_is_cut_off_here_is_fetched_again(place: Place, client: Client) -> None:
    client.load(place.name)
    (folder,) = place.bundles()
    (folder / VISION).write_bytes(b"half")
    place.sent()
    assert client.load(place.name) == "llava"
    assert place.sent() == [VISION]


def test_two_at_once_fetch_each_file_once(
    place: Place, environment: dict[str, str], user: Path
) -> None:
    code = "from carve_runtime.cli.main import main; main()"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, "info", place.name], env=environment, cwd=user
        )
        for _ in range(2)
    ]
    assert [process.wait(LONGEST) for process in both] == [0, 0]
    assert sorted(file for file in place.sent() if file != MANIFEST_FILE) == LISTED


def manifest_with(**changes: Any) -> dict[str, bytes]:
    document = json.loads(pocket_files()[MANIFEST_FILE])
    document["files"] |= changes.pop("files", {})
    return {MANIFEST_FILE: json.dumps(document | changes).encode()}


def changed(files: Mapping[str, bytes | None]) -> Callable[[Place], None]:
    """Return what puts other files into a repository, or takes some away."""

    def change(place: Place) -> None:
        after = {**pocket_files(), **files}
        kept = {path: data for path, data in after.items() if data is not None}
        place.repository.commits[place.repository.branches["main"]] = kept

    return change


def private(place: Place) -> None:
    place.repository.private = True


def gated(place: Place) -> None:
    place.repository.gated = True


def gone(place: Place) -> None:
    del place.hub.repositories[place.name]


def cut(place: Place) -> None:
    place.hub.cut.add((place.name, VISION))


def unchanged(place: Place) -> None:
    """Leave the repository as it is."""


DATA = pocket_files()[VISION]
OTHER = DATA[:-1] + bytes([DATA[-1] ^ 1])
OUTSIDE = manifest_with(files={"../x": {"size": 4, "sha256": "0" * 64}})
#: What is done to the repository, the options, and what is said.
REFUSED: dict[str, tuple[Callable[[Place], None], dict[str, Any], str]] = {
    "gone": (gone, {}, r"HubError: there is no folder (.*), and http://\S+ has no repository \1,"),
    "private": (private, {}, r"if the repository is private, log in with hf auth login"),
    "token": (private, {"token": "hf_other"}, r"refuses the token.*\. Log in with"),
    "gated": (gated, {}, r"is gated, .*\. Ask for access at http://"),
    "revision": (unchanged, {"revision": "v9"}, r"has no revision 'v9'\. Give one of"),
    "no bundle": (changed({MANIFEST_FILE: None}), {}, r"no whole bundle: it has no carve\.json\."),
    "missing": (changed({VISION: None}), {}, rf"no whole bundle: it has no {VISION}\. Try again"),
    "half": (
        changed({VISION: DATA[: len(DATA) // 2]}),
        {},
        rf"{VISION} has {len(DATA) // 2} bytes, its manifest says {len(DATA)}\. Try again",
    ),
    "half is sent": (cut, {}, r"exchanged with \S+ \(.*\)\. Check the network"),
    "other": (changed({VISION: OTHER}), {}, rf"{VISION} is not the file that its manifest"),
    "outside": (
        changed({**OUTSIDE, "../x": b"data"}),
        {},
        r"BundleError: the manifest names '\.\./x', outside the bundle\. Do not use",
    ),
    "malformed": (changed({MANIFEST_FILE: b"{"}), {}, r"BundleError: .*is malformed"),
    "newer": (changed(manifest_with(schema_version=99)), {}, r"SchemaError: .*Upgrade carve-vlm"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_fetched(place: Place, user: Path, client: Client, name: str) -> None:
    change, options, message = REFUSED[name]
    change(place)
    with pytest.raises(RuntimeError, match=message):
        client.load(place.name, **options)
    place.hub.cut.clear()
    assert not place.bundles()
    assert not list((user / "home").rglob("*.incomplete"))
    assert not list(user.rglob("x"))
    for path in place.fetched.glob("*/onnx/*"):
        assert path.read_bytes() == pocket_files()[f"onnx/{path.name}"]


NAMES = {
    "./some/bundle": r"BundleError: .*some/bundle .*is not a bundle",
    "some/bundle/": r"BundleError: .*some/bundle .*is not a bundle",
    "some--one/x": r"there is no folder some--one/x, .* cannot be a repository's name",
    "nothing": r"BundleError: .*\. Give the folder .*on the hub owner/name",
}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_name(client: Client, name: str) -> None:
    with pytest.raises(RuntimeError, match=NAMES[name]):
        client.load(name)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("HF_HUB_OFFLINE", "1", r"in full before HF_HUB_OFFLINE was set\. Unset"),
        ("HF_ENDPOINT", NOBODY, r"exchanged with .* \(.*refused.*\)\. Check the network"),
    ],
)
def test_without_a_hub(
    place: Place, carve_run: Run, variable: str, value: str, message: str
) -> None:
    result = carve_run("info", place.name, **{variable: value})
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert re.match(rf"Error: there is no folder {place.name}, and .*{message}", line)


def test_a_path_is_no_name_for_a_command(place: Place, carve_run: Run) -> None:
    result = carve_run("info", f"./{place.name}")
    assert result.returncode == 1
    assert f"{place.name} is not a bundle" in result.stderr
    assert not place.hub.requests


def test_a_revision_is_for_repositories(carve_run: Run) -> None:
    result = carve_run("info", "default", "--revision", "x")
    assert result.returncode == 2
    assert "default is no repository of the hub" in result.stderr
