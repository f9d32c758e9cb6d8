"""OpenAI's Python client gets the answers of :meth:`carve_runtime.Carve.ask`."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carve_runtime import Carve, CarveResult, load_image
from tests.comparing import assert_close
from tests.runtime.serve.serving import (
    HANGS,
    MODEL,
    QUESTION,
    SCENE,
    Server,
    messages,
    running,
)
from tests.support import PHOTOS, SCENES

CASES: dict[str, dict[str, Any]] = {
    "the bundle's settings": {},
    "a variant": {"variant": "v3"},
    "settings": {"mask_top_p": 0.05, "final_prompt": "refined", "layers": [0, 2]},
    "no plain answer": {"early_exit": True},
    "sure of everything": {"adaptive": True, "sure_probability": 0, "focused_entropy": 99},
}


@pytest.fixture(scope="module")
def server(pocket: Carve) -> Iterator[Server]:
    with running(pocket) as server:
        yield server


def pixels(encoded: str) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))


def of_carve(result: CarveResult) -> dict[str, Any]:
    """Return what the object ``carve`` has to say, timings apart."""
    fields = result.to_dict() | {"bbox": list(result.bbox)}
    fields |= {name: list(fields[name]) for name in ("image_size", "refined_size")}
    fields["settings"] = vars(result.settings) | {"layers": list(result.settings.layers)}
    return {name: value for name, value in fields.items() if name != "timings"}


def same(carve: dict[str, Any], result: CarveResult) -> None:
    expected = of_carve(result)
    assert {name: carve[name] for name in expected} == expected
    assert carve["timings"]["total"] > 0


@pytest.mark.parametrize("name", CASES)
def test_the_answer(name: str, server: Server, pocket: Carve) -> None:
    changes = CASES[name]
    expected = pocket.ask(SCENE, QUESTION, **changes)
    done = server.client().chat.completions.create(
        model=MODEL, messages=messages(), extra_body={"carve": changes}
    )
    assert done.choices[0].message.content == expected.answer
    assert done.choices[0].finish_reason == "stop"
    assert done.usage is not None
    assert done.usage.completion_tokens == len(expected.token_ids)
    assert done.usage.total_tokens == expected.counts.decoder_tokens
    assert done.model == MODEL
    same(done.carve, expected)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("include_usage", [False, True])
def test_the_same_in_pieces(name: str, include_usage: bool, server: Server, pocket: Carve) -> None:
    changes = CASES[name]
    expected = pocket.ask(SCENE, QUESTION, **changes)
    stream = server.client().chat.completions.create(
        model=MODEL,
        messages=messages(),
        stream=True,
        stream_options={"include_usage": include_usage},
        extra_body={"carve": changes},
    )
    chunks = list(stream)
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == expected.answer
    assert choices[0].delta.role == "assistant"
    assert [c.finish_reason for c in choices if c.finish_reason] == ["stop"]
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    assert [usage.total_tokens for usage in usages] == (
        [expected.counts.decoder_tokens] if include_usage else []
    )
    same(chunks[-1].carve, expected)
    assert not any(hasattr(chunk, "carve") for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_plain_answer(stream: bool, server: Server, pocket: Carve) -> None:
    expected = pocket.plain(SCENE, QUESTION)
    done: Any = server.client().chat.completions.create(
        model=MODEL, messages=messages(), stream=stream, extra_body={"carve": {"plain": True}}
    )
    if stream:
        *chunks, last = done
        assert "".join(chunk.choices[0].delta.content for chunk in chunks) == expected.answer
        done = last
    else:
        assert done.choices[0].message.content == expected.answer
    assert done.carve["plain_answer"] == expected.answer
    assert "bbox" not in done.carve


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("plain", [False, True])
def test_a_limit_of_tokens(name: str, plain: bool, server: Server) -> None:
    fields: Any = {name: 1, "extra_body": {"carve": {"plain": plain}}}
    question = "What word is on the purple square?"
    done = server.client().chat.completions.create(
        model=MODEL, messages=messages(question=question), **fields
    )
    assert done.choices[0].finish_reason == "length"
    assert done.usage is not None
    assert done.usage.completion_tokens == 1


@pytest.mark.parametrize("photo", [SCENES / "scene-01.jpg", PHOTOS / "portrait.jpg"])
def test_pictures_of_the_answer(photo: Any, server: Server, pocket: Carve) -> None:
    include = ["mask", "saliency", "refined_image", "overview"]
    expected = pocket.ask(photo, QUESTION)
    done: Any = server.client().chat.completions.create(
        model=MODEL, messages=messages(photo), extra_body={"carve": {"include": include}}
    )
    carve = done.carve
    assert np.array_equal(pixels(carve["mask"]), expected.mask)
    assert np.array_equal(pixels(carve["refined_image"]), expected.refined_image)
    assert pixels(carve["overview"]).shape[2] == 3
    grey, alpha = np.moveaxis(pixels(carve["saliency"]["png"]).astype(float), -1, 0)
    low, high = carve["saliency"]["low"], carve["saliency"]["high"]
    seen = np.isfinite(expected.saliency)
    assert np.array_equal(alpha == 255, seen)
    assert np.array_equal(alpha == 0, ~seen)
    shown = (low + (high - low) * grey / 255)[seen]
    assert_close(shown, expected.saliency[seen], atol=0.51 * (high - low) / 255)
    assert not set(include) & set(
        server.client().chat.completions.create(model=MODEL, messages=messages()).carve
    )


def test_nothing_was_cut_away(server: Server) -> None:
    include = {"include": ["mask", "saliency"], **CASES["sure of everything"]}
    done: Any = server.client().chat.completions.create(
        model=MODEL, messages=messages(), extra_body={"carve": include}
    )
    assert done.carve["skipped"]
    assert pixels(done.carve["mask"]).all()
    assert done.carve["saliency"]["low"] is None
    assert not pixels(done.carve["saliency"]["png"])[..., 1].any()
    assert pixels(done.carve["saliency"]["png"]).shape[:2] == load_image(SCENE).shape[:2]


def test_what_asks_for_nothing_is_taken(server: Server) -> None:
    done = server.client().chat.completions.create(
        model=MODEL,
        messages=messages(),
        temperature=0,
        n=1,
        top_p=1,
        seed=7,
        user="somebody",
        tools=[],
        response_format={"type": "text"},
        stop=None,
        presence_penalty=0,
    )
    assert done.choices[0].message.content


def test_models(server: Server, pocket: Carve) -> None:
    client = server.client()
    (model,) = client.models.list().data
    assert model.id == client.models.retrieve(MODEL).id == MODEL
    assert model.carve["family"] == pocket.manifest.family
    assert server.get("health").json() == {"status": "ok", "model": MODEL, "browser_page": None}
    assert server.get("v1/models/other").status_code == 404
    description = server.get("openapi.json").json()
    assert "carve" in description["components"]["schemas"]["ChatRequest"]["properties"]


def test_metrics(pocket: Carve) -> None:
    with running(pocket, seconds=HANGS) as server:
        server.client().chat.completions.create(model=MODEL, messages=messages())
        assert server.post(b"{").status_code == 400
        rows = {
            'carve_requests_total{outcome="answered"}': 1,
            'carve_requests_total{outcome="invalid_request"}': 1,
            "carve_request_seconds_count": 2,
            'carve_stage_seconds_count{stage="question"}': 1,
            'carve_stage_seconds_count{stage="total"}': 1,
            "carve_queue_length": 0,
            "carve_running": 0,
            "carve_image_cache_bytes": 0,  # the fixture's Carve keeps none
        }
        assert {name: server.metric(name) for name in rows} == rows
        expected = pocket.ask(SCENE, QUESTION)
        assert server.metric('carve_tokens_total{kind="answer"}') == len(expected.token_ids)
        assert server.metric("process_resident_memory_bytes") > 0


def test_the_second_question_finds_the_image_in_the_cache(pocket: Carve) -> None:
    vlm = Carve.load()
    with running(vlm) as server:
        for _ in range(2):
            done: Any = server.client().chat.completions.create(model=MODEL, messages=messages())
        assert done.carve["counts"]["vision_runs"] == 1  # of the refined image
        assert server.metric("carve_image_cache_bytes") == vlm.image_cache_nbytes > 0
