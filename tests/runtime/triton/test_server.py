"""What ``carve-run triton`` writes, in a real Triton server, asked by its own client."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from PIL import Image

from carve_runtime import Carve
from tests.runtime.cli.commands import QUESTION, SCENE, carve_run
from tests.runtime.triton.server import missing, serving

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not here: {missing()}")
OTHER = "What word is on the purple square?"
PICTURE = Path(SCENE).read_bytes()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[triton.InferenceServerClient]:
    folder = tmp_path_factory.mktemp("triton")
    repository = folder / "repository"
    written = carve_run("triton", "default", repository, "--threads", "1")
    assert written.exit_code == 0, written.output
    with serving(repository, folder) as address, triton.InferenceServerClient(address) as asker:
        yield asker


def ask(client: triton.InferenceServerClient, *outputs: str, **inputs: Any) -> Any:
    given = []
    for name, values in inputs.items():
        tensor = triton.InferInput(name, [len(values)], "BYTES")
        tensor.set_data_from_numpy(np.array(values, np.object_))
        given.append(tensor)
    wanted = [triton.InferRequestedOutput(name) for name in outputs] or None
    return client.infer("carve", given, outputs=wanted)


def test_answers_boxes_and_masks(client: triton.InferenceServerClient, pocket: Carve) -> None:
    answered = ask(client, image=[PICTURE], question=[QUESTION, OTHER])
    results = [pocket.ask(SCENE, question) for question in (QUESTION, OTHER)]
    assert answered.as_numpy("bbox").tolist() == [list(result.bbox) for result in results]
    for index, result in enumerate(results):
        assert answered.as_numpy("answer")[index].decode() == result.answer
        assert answered.as_numpy("plain_answer")[index].decode() == result.plain_answer
        mask = Image.open(io.BytesIO(answered.as_numpy("mask")[index]))
        assert np.array_equal(np.array(mask), result.mask)
    fields = [json.loads(text) for text in answered.as_numpy("result")]
    assert [each["entropy"] for each in fields] == pytest.approx([r.entropy for r in results])
    assert fields[1]["counts"]["vision_runs"] == 1  # the picture was encoded for the first


def test_settings_and_outputs_of_one_request(
    client: triton.InferenceServerClient, pocket: Carve
) -> None:
    settings: dict[str, Any] = {"variant": "v1", "max_regions": 1, "mask_top_p": 0.1}
    answered = ask(
        client, "bbox", image=[PICTURE], question=[QUESTION], settings=[json.dumps(settings)]
    )
    assert tuple(answered.as_numpy("bbox")[0]) == pocket.ask(SCENE, QUESTION, **settings).bbox
    assert answered.as_numpy("answer") is None


def test_no_question_has_no_answer(client: triton.InferenceServerClient) -> None:
    answered = ask(client, image=[PICTURE], question=[])
    assert answered.as_numpy("bbox").shape == (0, 4)


BAD: dict[str, tuple[dict[str, list[Any]], str]] = {
    "no picture": ({"image": [b"no picture"]}, "not an image that Pillow can read. Give a JPEG"),
    "no question": ({"question": [QUESTION, ""]}, "the question is empty. Ask something"),
    "question in no encoding": ({"question": [b"\xff"]}, "the question is not UTF-8"),
    "broken settings": ({"settings": ["{"]}, "the settings are not JSON"),
    "settings in a list": ({"settings": ["[]"]}, "the settings are no JSON object"),
    "unknown setting": ({"settings": ['{"shiny": 1}']}, "there is no setting named 'shiny'"),
    "the question as a setting": (
        {"settings": ['{"question": "x"}']},
        "no setting named 'question'",
    ),
    "a name of Python's": ({"settings": ['{"self": 1}']}, "there is no setting named 'self'"),
    "setting of another type": ({"settings": ['{"max_regions": "x"}']}, "max_regions is 'x'"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_an_error_of_its_own(
    name: str, client: triton.InferenceServerClient
) -> None:
    changes, message = BAD[name]
    inputs = {"image": [PICTURE], "question": [QUESTION]} | changes
    with pytest.raises(triton.InferenceServerException, match="(?i)" + message) as raised:
        ask(client, **inputs)
    assert raised.value.status() == "400"
    assert ask(client, "answer", image=[PICTURE], question=[QUESTION]) is not None
