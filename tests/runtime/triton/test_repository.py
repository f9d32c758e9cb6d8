"""What ``carve-run triton`` writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from carve_runtime import Carve, SettingsError
from carve_runtime.bundle import open_bundle
from carve_runtime.triton.interface import backend_of, settings_of
from tests.runtime.cli.commands import carve_run, failed


def test_the_model_is_a_whole_bundle_beside_others(tmp_path: Path) -> None:
    for name in ("one", "two"):
        result = carve_run("triton", "default", tmp_path / "models", "--name", name)
        assert result.stdout == f"saved  {tmp_path / 'models' / name}\n"
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"one", "two"}
    model = tmp_path / "models" / "two"
    assert (model / "config.pbtxt").read_text().startswith('name: "two"\nbackend: "python"\n')
    bundle = open_bundle(model / "1" / "bundle", verify=True)
    assert bundle.manifest == Carve.load().manifest
    files = [path for path in (model / "1" / "bundle").rglob("*") if path.is_file()]
    assert len(files) == len(bundle.manifest.files) + 1  # nothing else, pocket's checkpoint for one


@pytest.mark.parametrize(
    ("options", "group"),
    [
        ([], "count: 1 kind: KIND_CPU"),
        (["--instances", "3"], "count: 3 kind: KIND_CPU"),
        (["--gpu", "0", "--gpu", "2"], "count: 1 kind: KIND_GPU gpus: [ 0, 2 ]"),
    ],
)
def test_instances(options: list[str], group: str, tmp_path: Path) -> None:
    assert carve_run("triton", "default", tmp_path, *options).exit_code == 0
    assert f"instance_group [ {{ {group} }} ]" in (tmp_path / "carve" / "config.pbtxt").read_text()


@pytest.mark.parametrize(("kind", "chosen"), [("CPU", (None, None)), ("GPU", ("cuda", "2"))])
def test_an_instance_runs_where_the_server_says(
    kind: str, chosen: tuple[str | None, str | None]
) -> None:
    parameters = {"backend": {"string_value": '{"threads": 3}'}}
    backend = backend_of(
        {
            "model_config": json.dumps({"parameters": parameters}),
            "model_instance_kind": kind,
            "model_instance_device_id": "2",
        }
    )
    assert (backend.threads, (backend.provider, backend.device)) == (3, chosen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--instances", "0"], "instances is 0"),
        (["--gpu", "-1"], "gpu is -1"),
        (["--threads", "0"], "threads is 0"),
        (["--name", "../up"], "the model's name is '../up'"),
        (["--name", ""], "the model's name is ''"),
    ],
)
def test_what_cannot_be(options: list[str], message: str, tmp_path: Path) -> None:
    failed(carve_run("triton", "default", tmp_path / "models", *options), 2, message)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["question", "self", "shiny", "", "image"])
def test_settings_that_are_none(name: str) -> None:
    """None reaches a call, whose TypeError would be that of all requests that came together."""
    with pytest.raises(SettingsError, match=rf"no setting named '{name}'\. Choose from .*variant"):
        settings_of(json.dumps({name: 1}).encode())
    given = {"variant": "v1", "scout_pixels": None}
    assert settings_of(json.dumps(given).encode()) == given


def test_a_model_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "carve").mkdir()
    (tmp_path / "carve" / "config.pbtxt").write_text("mine")
    failed(carve_run("triton", "default", tmp_path), 2, "carve is already there")
    assert [path.name for path in tmp_path.iterdir()] == ["carve"]
    assert (tmp_path / "carve" / "config.pbtxt").read_text() == "mine"


def test_a_damaged_bundle_leaves_nothing(tmp_path: Path) -> None:
    failed(carve_run("triton", tmp_path / "gone", tmp_path / "models"), 1, "is not a bundle")
    assert not list(tmp_path.iterdir())
