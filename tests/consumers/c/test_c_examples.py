"""The examples of libcarve."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from carve_export.questions import write_questions
from carve_runtime import Carve, CarveResult
from tests.consumers.building import QUESTION, edited, run
from tests.consumers.c.test_c import refused_tokenizer
from tests.support import POCKET

JPEG_IS_READ = (
    subprocess.run(["pkg-config", "--exists", "libturbojpeg"], check=False).returncode == 0
)
#: What ``--json`` holds as ``carve-run ask --json`` does.
SHARED = {"answer", "plain_answer", "bbox", "image_size", "refined_size", "refined_limited"}


@pytest.fixture
def image() -> Image.Image:
    return Image.open(POCKET / "example.jpg").convert("RGB")


@pytest.fixture
def expected(pocket: Carve, image: Image.Image) -> CarveResult:
    return pocket.ask(image, QUESTION)


def fails(*command: object) -> tuple[int, str]:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize("suffix", ["ppm", "png", "jpg"])
def test_an_answer(
    suffix: str, installed: Path, image: Image.Image, expected: CarveResult, tmp_path: Path
) -> None:
    picture, refined = tmp_path / f"picture.{suffix}", tmp_path / "refined.png"
    if suffix == "jpg":
        shutil.copy(POCKET / "example.jpg", picture)
    else:
        image.save(picture)
    command = (installed / "carve_answer", POCKET, picture, QUESTION, refined)
    if suffix == "jpg" and not JPEG_IS_READ:
        assert fails(*command) == (
            1,
            f"{picture}: a JPEG, and these examples were built without "
            "libturbojpeg. Install libturbojpeg0-dev and build them again, "
            "or convert it to PNG or PPM.\n",
        )
        return
    printed = run(*command)
    assert f"plain  {expected.plain_answer}\nCARVE  {expected.answer}\n" in printed
    assert str(expected.bbox) in printed
    np.testing.assert_array_equal(np.asarray(Image.open(refined)), expected.refined_image)


def test_json(installed: Path, expected: CarveResult, tmp_path: Path, image: Image.Image) -> None:
    image.save(tmp_path / "picture.png")
    options = ("--provider", "CPUExecutionProvider", "--json")
    printed = json.loads(
        run(installed / "carve_answer", *options, POCKET, tmp_path / "picture.png", QUESTION)
    )
    python = json.loads(json.dumps(expected.to_dict()))
    assert {name: printed[name] for name in SHARED} == {name: python[name] for name in SHARED}
    assert printed["mask_share"] == pytest.approx(python["mask_share"], rel=1e-9)
    assert tuple(printed["ids"]) == expected.token_ids
    assert tuple(printed["plain_ids"]) == expected.plain_token_ids
    assert printed.keys() == SHARED | {"ids", "plain_ids", "mask_share"}


def test_questions_encoded_beforehand(
    installed: Path, expected: CarveResult, tmp_path: Path, image: Image.Image
) -> None:
    bundle = edited(tmp_path / "bundle", "tokenizer.json", refused_tokenizer)
    picture, prompts = tmp_path / "picture.png", tmp_path / "questions.json"
    image.save(picture)
    write_questions(bundle, [QUESTION], prompts)
    given = (bundle, picture, QUESTION)
    printed = json.loads(run(installed / "carve_answer", "--prompts", prompts, "--json", *given))
    assert tuple(printed["ids"]) == expected.token_ids
    code, message = fails(installed / "carve_answer", *given)
    assert code == 1
    assert message.startswith("error 8: ")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--json", "bundle", "picture"], 2, "usage: "),
        (["bundle", "picture", "question", "refined.png", "CPUExecutionProvider"], 2, "usage: "),
        (["--colour", "red", "bundle", "picture", "question"], 2, "usage: "),
        (["--device", "one", "bundle", "picture", "question"], 2, "usage: "),
        (["--device", str(2**32), "bundle", "picture", "question"], 2, "usage: "),
        (["bundle", "picture", "question", "--provider"], 2, "usage: "),
        (["bundle", "no-such.png", "question"], 1, "no-such.png: cannot be opened"),
        ([POCKET, POCKET / "carve.json", "question"], 1, "no readable PPM, PNG or JPEG picture"),
        (["--provider", "AExecutionProvider", POCKET, "PICTURE", "question"], 1, "error 6: "),
    ],
)
def test_refusals(
    arguments: list[object], code: int, message: str, installed: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.ppm"
    picture.write_bytes(b"P6 2 2 255 " + bytes(12))
    given = [picture if argument == "PICTURE" else argument for argument in arguments]
    actual, said = fails(installed / "carve_answer", *given)
    assert (actual, message in said) == (code, True), said


def test_frames(installed: Path, image: Image.Image, expected: CarveResult, tmp_path: Path) -> None:
    """From standard input, from a folder, and from a camera that is not there."""
    answer = "\t".join([expected.answer or "", ",".join(map(str, expected.bbox))])
    image.save(tmp_path / "picture.ppm")
    program = installed / "carve_frames"
    done = subprocess.run(
        [program, POCKET, QUESTION],
        input=(tmp_path / "picture.ppm").read_bytes() * 2,
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == f"0\t{answer}\n1\t{answer}\n"

    whole = (tmp_path / "picture.ppm").read_bytes()
    for damaged in (whole[:-1], b"no picture"):
        done = subprocess.run(
            [program, POCKET, QUESTION], input=whole + damaged, capture_output=True, check=False
        )
        assert done.stdout.decode() == f"0\t{answer}\n"
        assert (done.returncode, b"picture 1: no readable PPM" in done.stderr) == (1, True)
    done = subprocess.run([program, POCKET, QUESTION], input=b"", capture_output=True, check=False)
    assert (done.returncode, b"picture 0: no readable PPM" in done.stderr) == (1, True)

    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("b.png", "a.ppm"):
        image.save(folder / name)
    (folder / ".hidden").write_bytes(b"no picture")
    assert run(program, POCKET, QUESTION, folder) == f"a.ppm\t{answer}\nb.png\t{answer}\n"
    for name in ("a.ppm", "b.png"):
        (folder / name).write_bytes(b"no picture")
    done = subprocess.run([program, POCKET, QUESTION, folder], capture_output=True, check=False)
    assert done.returncode == 1
    assert b"a.ppm: no readable PPM, PNG or JPEG picture" in done.stderr

    code, message = fails(program, POCKET, QUESTION, tmp_path / "video0")
    assert code == 1
    assert "video0: " in message
