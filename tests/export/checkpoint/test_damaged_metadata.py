"""Metadata that nobody's tool wrote: a typed error, before much time or memory is spent."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carve_export.checkpoint.image_rules import image_rule
from carve_export.checkpoint.load import Checkpoint, decoder_spec, load_checkpoint
from carve_export.checkpoint.prompts import resolve_prompts
from carve_export.checkpoint.render_chat import render_chats
from carve_models.errors import CheckpointError
from carve_models.families.family import PromptLayout
from carve_runtime.prompt.text import Text
from tests.conftest import CheckpointOf
from tests.export.cli.commands import changed_copy

#: JSON documents, and numbers that it can hold.
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 99)
    | st.sampled_from([1 << 32, 10**30, -(10**30), 1e300, 0.5, float("inf"), float("nan")])
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["height", "width", "shortest_edge"]), inner, max_size=2)
    ),
    max_leaves=4,
)
SOME = settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)


@pytest.fixture(scope="module", params=["llava-clip-gqa", "qwen2_5_vl", "smolvlm", "internvl"])
def loaded(request: pytest.FixtureRequest, checkpoint_of: CheckpointOf) -> Checkpoint:
    return load_checkpoint(str(checkpoint_of(request.param)))


def characters(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


@given(st.data())
@SOME
def test_image_processors(loaded: Checkpoint, data: st.DataObject) -> None:
    processor = dict(loaded.image_processor.to_dict())
    name, value = data.draw(st.sampled_from(sorted(processor))), data.draw(JSON)
    processor |= {name: value}
    damaged = replace(loaded, image_processor=SimpleNamespace(to_dict=lambda: processor))
    with suppress(CheckpointError):
        image_rule(damaged, characters)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_mean", None),
        ("image_mean", "abc"),
        ("image_mean", [0.5]),
        ("image_std", [0, 1, 1]),
        ("rescale_factor", 0),
        ("resample", 99),
        ("resample", "bicubic"),
        ("size", None),
    ],
)
def test_an_image_processor(name: str, value: Any, checkpoint_of: CheckpointOf) -> None:
    loaded = load_checkpoint(str(checkpoint_of("llava-clip-gqa")))
    processor = dict(loaded.image_processor.to_dict()) | {name: value}
    damaged = replace(loaded, image_processor=SimpleNamespace(to_dict=lambda: processor))
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json cannot be used: .*\. C"):
        image_rule(damaged, characters)


@pytest.mark.parametrize(
    "eos", ["two", ["a"], -1, 1 << 32, 10**30, 1.5, {"a": 1}, [[1]], float("nan")]
)
def test_ends_of_sequence(eos: Any, checkpoint_of: CheckpointOf) -> None:
    loaded = load_checkpoint(str(checkpoint_of("llava-clip-gqa")))
    model = SimpleNamespace(
        config=loaded.config, generation_config=SimpleNamespace(eos_token_id=eos)
    )
    with pytest.raises(CheckpointError, match=r"config\.json cannot be used: .*\. Correct"):
        decoder_spec(replace(loaded, model=model), layers=None)


TEMPLATES: dict[str, tuple[Any, str]] = {
    "syntax": ("{% for m in messages", r"TemplateSyntaxError: .*\. Correct the chat template, or"),
    "security": ("{{ ''.__class__.__mro__ }}", r"SecurityError"),
    "loops": (
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        r"over 2 s of computing",
    ),
    "memory": ("{{ 'a' * 10**12 }}", r"MemoryError"),
    "a list": ([{"name": "default"}], r"the chat template is a list"),
    "no default": ({"tool_use": "x"}, r"the chat template cannot be used: ValueError"),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_chat_templates(name: str, checkpoint_of: CheckpointOf) -> None:
    template, message = TEMPLATES[name]
    loaded = load_checkpoint(str(checkpoint_of("qwen2_5_vl")))
    tokenizer = copy.deepcopy(loaded.tokenizer)
    tokenizer.chat_template = template
    text = Text(checkpoint_of("qwen2_5_vl") / "tokenizer.json")
    layout = PromptLayout(single=None, pair=None, suffix="", general="x")
    with pytest.raises(CheckpointError, match=message):
        resolve_prompts(replace(loaded, tokenizer=tokenizer), text, layout)


def test_templates_by_name_and_what_they_may_use() -> None:
    """The text of transformers itself is compared by every export with a template."""
    chats = [[{"role": "user", "content": [{"type": "image"}]}]] * 2
    template = "{% for m in messages %}{{ m.role }}{{ bos_token }}{% endfor %}"
    assert render_chats(template, chats, {"bos_token": "<s>"}) == ["user<s>"] * 2


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("text_config", {"num_hidden_layers": 10**6}, r"names 1000000 layers\. Correct it"),
        ("text_config", {"vocab_size": 10**9}, r"describes \d{10,} parameters.*\. Correct"),
        ("vision_config", {"intermediate_size": 1 << 30}, r"describes \d{10,} parameters"),
    ],
)
def test_sizes_beyond_memory(
    part: str, changes: dict[str, int], message: str, checkpoint: Path, tmp_path: Path
) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    changed = {part: config[part] | changes}
    folder = changed_copy(checkpoint, tmp_path / "checkpoint", "config.json", **changed)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(str(folder))


def test_a_length_that_is_none(checkpoint_of: CheckpointOf) -> None:
    loaded = load_checkpoint(str(checkpoint_of("llava-clip-gqa")))
    tokenizer = copy.deepcopy(loaded.tokenizer)
    tokenizer.model_max_length = "many"
    text = Text(checkpoint_of("llava-clip-gqa") / "tokenizer.json")
    with pytest.raises(CheckpointError, match=r"the tokenizer cannot be used: .*\. Correct"):
        resolve_prompts(replace(loaded, tokenizer=tokenizer), text, loaded.family.prompts)


def test_a_template_runs_nothing_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People export from inside a checkpoint's folder, whose files others wrote."""
    for name in ("jinja2", "transformers", "carve_models"):
        (tmp_path / f"{name}.py").write_text("open('executed', 'w').close()")
    monkeypatch.chdir(tmp_path)
    chats = [[{"role": "user", "content": "here"}]]
    assert render_chats("{{ messages[0].content }} again", chats, {}) == ["here again"]
    assert not (tmp_path / "executed").exists()
