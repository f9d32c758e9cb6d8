"""Bundles to the hub, and from there back: real commands, a real client, a real server."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import yaml

from carve_export.hub.card import model_card
from carve_models.manifest import Quality, read_manifest, write_manifest
from carve_models.names import MANIFEST_FILE
from carve_runtime import Carve
from carve_runtime.hub import HubName
from tests.conftest import CheckpointOf
from tests.hub.conftest import LONGEST, Client, Done, Run
from tests.hub.server import LARGE, OWNER, TOKEN, Hub, Repository
from tests.support import POCKET, copied_pocket

IMAGE = POCKET / "example.jpg"
QUESTION = "What word is on the purple square?"
LISTED = sorted([*read_manifest(POCKET).files, MANIFEST_FILE])
LOGGED_IN = {"HF_TOKEN": TOKEN}
LICENCE = "--licence", "apache-2.0"


def blocks(card: str, language: str) -> list[str]:
    """Return the code in a language that a page shows."""
    return [part.split("```")[0] for part in card.split(f"```{language}\n")[1:]]


def done(result: Done) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_there_and_back(
    hub: Hub, carve_export: Run, environment: dict[str, str], tmp_path: Path, pocket: Carve
) -> None:
    name = f"{OWNER}/round-trip"
    said = done(carve_export("push", POCKET, name, *LICENCE, **LOGGED_IN))
    repository = hub.repositories[name]
    head = repository.branches["main"]
    assert f"/{name}/commit/{head}" in said
    assert not repository.private
    assert len(repository.commits) == 2  # the first made the repository
    files = repository.commits[head]
    assert sorted(files) == sorted([*LISTED, "README.md"])
    assert all(files[path] == (POCKET / path).read_bytes() for path in LISTED)
    assert set(hub.stored.values()) == {data for data in files.values() if len(data) >= LARGE}

    card = files["README.md"].decode()
    head_of_card = yaml.safe_load(card.split("---")[1])
    assert head_of_card == {
        "library_name": "carve-vlm",
        "license": "apache-2.0",
        "pipeline_tag": "image-text-to-text",
        "tags": ["carve", "onnx", "llava"],
    }
    shutil.copyfile(IMAGE, tmp_path / "photo.jpg")
    (code,) = blocks(card, "python")
    _, download = blocks(card, "sh")
    tools = Path(sys.executable).parent
    subprocess.run(["bash", "-c", f"PATH={tools}:$PATH; {download}"], env=environment, cwd=tmp_path)
    assert Carve.load(tmp_path / "bundle", verify=True).manifest == pocket.manifest
    ran = subprocess.run(
        [sys.executable, "-c", code.replace("What does the sign say?", QUESTION)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=True,
    )
    expected = pocket.ask(IMAGE, QUESTION)
    assert ran.stdout.startswith(f"{expected.answer} {expected.plain_answer} {expected.bbox}")


def test_what_is_there_stays_or_goes(
    hub: Hub, carve_export: Run, client: Client, tmp_path: Path
) -> None:
    name, edited = f"{OWNER}/twice", b"---\nlicense: mit\n---\nOurs."
    hub.repositories[name] = Repository(private=True)
    hub.repositories[name].commit({"README.md": edited, "notes.txt": b"kept"})
    bundle = copied_pocket(tmp_path / "bundle")
    write_manifest(bundle, replace(read_manifest(bundle), family="changed"))

    pushed = carve_export("push", bundle, name, *LICENCE, "--revision", "next", **LOGGED_IN)
    assert "--revision next" in done(pushed)
    repository = hub.repositories[name]
    assert sorted(repository.commits[repository.branches["main"]]) == ["README.md", "notes.txt"]
    files = repository.commits[repository.branches["next"]]
    assert (files["README.md"], files["notes.txt"]) == (edited, b"kept")
    assert client.load(name, revision="next", token=TOKEN) == "changed"

    inside = "push", POCKET, f"{name}/small", *LICENCE, "--new-card"
    done(carve_export(*inside, **LOGGED_IN))
    files = repository.commits[repository.branches["main"]]
    assert f"carve-run ask {name}/small " in files["README.md"].decode()
    assert sorted(path for path in files if "/" in path) == sorted(f"small/{p}" for p in LISTED)
    assert client.load(f"{name}/small", token=TOKEN) == "llava"


def of_the_hub(hub: Hub, folder: Path) -> Path:
    """Return a bundle whose source is on the hub, with a card."""
    card = b"---\nlicense: other\nlicense_name: house\ntags:\n- x\n---\nA model."
    hub.repositories["maker/model"] = Repository()
    hub.repositories["maker/model"].commit({"README.md": card})
    bundle = copied_pocket(folder / "of-the-hub")
    write_manifest(bundle, replace(read_manifest(bundle), source="maker/model"))
    return bundle


def test_the_licence_is_that_of_the_checkpoints_card(
    hub: Hub, carve_export: Run, tmp_path: Path
) -> None:
    name = f"{OWNER}/licensed"
    done(carve_export("push", of_the_hub(hub, tmp_path), name, "--private", **LOGGED_IN))
    repository = hub.repositories[name]
    assert repository.private
    card = repository.commits[repository.branches["main"]]["README.md"].decode()
    head = yaml.safe_load(card.split("---")[1])
    assert (head["license"], head["license_name"]) == ("other", "house")
    assert head["base_model"] == "maker/model"


def pocket_bundle(hub: Hub, folder: Path) -> Path:
    return POCKET


def damaged(hub: Hub, folder: Path) -> Path:
    bundle = copied_pocket(folder / "damaged")
    (bundle / "tokenizer.json").write_bytes(b"{}")
    return bundle


NAME = f"{OWNER}/refused"
#: The bundle, what follows it, the variables, the exit code, and what is said.
REFUSED: dict[
    str, tuple[Callable[[Hub, Path], Path], tuple[str, ...], dict[str, str], int, str]
] = {
    "no licence": (pocket_bundle, (NAME,), LOGGED_IN, 2, "no model card states the licence of"),
    "not logged in": (pocket_bundle, (NAME, *LICENCE), {}, 1, "does not know who you are. Log in"),
    "wrong token": (
        pocket_bundle,
        (NAME, *LICENCE),
        {"HF_TOKEN": "hf_other"},
        1,
        "refuses the token, or it does not suffice. Log in",
    ),
    "another's": (pocket_bundle, ("maker/x", *LICENCE), LOGGED_IN, 1, "does not suffice. Log in"),
    "no name": (pocket_bundle, ("refused", *LICENCE), LOGGED_IN, 2, "Give owner/name"),
    "damaged": (damaged, (NAME, *LICENCE), LOGGED_IN, 1, "tokenizer.json has 2 bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_pushed(hub: Hub, carve_export: Run, tmp_path: Path, name: str) -> None:
    bundle, arguments, variables, code, message = REFUSED[name]
    before = set(hub.repositories)
    result = carve_export("push", bundle(hub, tmp_path), *arguments, **variables)
    assert (result.returncode, message in result.stderr.splitlines()[-1]) == (code, True), result
    assert set(hub.repositories) == before


EXPORT = """
import sys
from carve_export.cli.main import main
checkpoint, out, name = sys.argv[1:]
push = [checkpoint, out, "--push", name]
for options in (["--unchecked"], [], ["--licence", "mit"]):
    try:
        main(push + options, standalone_mode=False)
    except Exception as error:
        print(f"REFUSED {error.format_message()}")
"""


def test_an_export_is_pushed_once_it_was_compared(
    hub: Hub,
    environment: dict[str, str],
    tmp_path: Path,
    client: Client,
    checkpoint_of: CheckpointOf,
) -> None:
    name = f"{OWNER}/exported"
    ran = subprocess.run(
        [sys.executable, "-c", EXPORT, checkpoint_of("llava-clip-gqa"), "out", name],
        env=environment | LOGGED_IN,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    refusals = [line for line in ran.stdout.splitlines() if line.startswith("REFUSED")]
    assert len(refusals) == 2, ran
    assert "not compared with PyTorch is not pushed" in refusals[0]
    assert "no model card states the licence of" in refusals[1]
    # The one that made the repository, and the bundle's.
    assert len(hub.repositories[name].commits) == 2
    assert client.load(name) == "llava"


def test_what_goes_with_a_push(carve_export: Run) -> None:
    result = carve_export(POCKET / "checkpoint", "out", "--private")
    assert result.returncode == 2
    assert "--private are for a bundle that is pushed" in result.stderr


def test_a_card_says_what_was_measured() -> None:
    quality = Quality(
        precision={"decoder": "int8"},
        questions=40,
        plain_agreement=0.95,
        answer_agreement=0.975,
        mask_overlap=0.9,
        least_mask_overlap=0.5,
        size=0.3,
        right=0.8,
        usual_right=0.85,
    )
    manifest = replace(read_manifest(POCKET), source="maker/model", quality=quality)
    card = model_card(huggingface_hub, manifest, HubName(f"{OWNER}/small"), {"license": "mit"})
    assert yaml.safe_load(card.split("---")[1])["base_model_relation"] == "quantized"
    for line in (
        "| precision | decoder int8; otherwise float32 |",
        "| questions | 40 |",
        "| answers through CARVE as in the source | 97.5% |",
        "| right answers through CARVE | 80.0% (source: 85.0%) |",
    ):
        assert line in card
    assert "strongest token" not in card
