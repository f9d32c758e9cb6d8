"""Training that falls, stops and goes on; adapters that merge; the figures at the end."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from transformers import AutoProcessor, AutoTokenizer, LlavaForConditionalGeneration

from carve_models.errors import CheckpointError
from tests.checkpoints.llama import save_tiny_llama
from tests.comparing import assert_close
from tests.support import POCKET
from tools.research.pocket.training.answering import text_hidden
from tools.research.pocket.training.packing import IGNORED, TextBatch
from tools.research.pocket_l.answers import checkpoints
from tools.research.pocket_l.answers.__main__ import main
from tools.research.pocket_l.answers.batches import QuestionBatches, wording
from tools.research.pocket_l.answers.checkpoints import (
    Checkpoints,
    State,
    last,
    read_state,
)
from tools.research.pocket_l.answers.learner import Learner
from tools.research.pocket_l.answers.recipe import Recipe
from tools.research.pocket_l.answers.training import steps_folder, train
from tools.research.pocket_l.build import Recipe as BuildRecipe
from tools.research.pocket_l.build import build
from tools.research.pocket_l.checkpoint import PROMPT
from tools.research.pocket_l.fit.projector import FitSpec
from tools.shared.report import Report

#: Dropout, so that PyTorch's random numbers matter; one line of the log a step.
SMALL = Recipe(steps=20, batch=2, easy=0.5, rank=4, dropout=0.1, rate=1e-2)


@pytest.fixture(scope="module", autouse=True)
def _small_files() -> Iterator[None]:
    """Let files be so small that the optimiser of a tiny model takes several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "LARGEST", 4_000_000)
        yield


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an untrained checkpoint."""
    llama, out = (tmp_path_factory.mktemp(name) for name in ("llama", "start"))
    save_tiny_llama(llama)
    build(out, BuildRecipe(POCKET / "checkpoint", llama, FitSpec(views=6)))
    return out


@pytest.fixture(scope="module")
def trained(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which training ran to its end without an interruption."""
    out = beside(start, tmp_path_factory.mktemp("trained"))
    assert train(out, SMALL, processes=0) == SMALL.steps
    return out


def beside(start: Path, out: Path) -> Path:
    """Let an empty folder have the untrained checkpoint too."""
    (out / "checkpoint").symlink_to(start / "checkpoint")
    return out


def final(out: Path) -> Path:
    folder = last(steps_folder(out))
    assert folder is not None
    return folder


def test_the_loss_falls(trained: Path) -> None:
    losses = [means["loss"] for _, means in read_state(final(trained)).history]
    assert len(losses) == SMALL.steps
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 1


def test_what_was_interrupted_goes_on_as_if_it_had_not_been(
    start: Path, trained: Path, tmp_path: Path
) -> None:
    """Also with another number of processes."""
    out = beside(start, tmp_path)
    done: list[int] = []
    while not done or done[-1] < SMALL.steps:
        torch.rand(len(done) + 1)  # what others draw does not matter
        seconds = 0.0 if len(done) < 2 else math.inf
        done.append(train(out, SMALL, processes=1, seconds=seconds))
    assert done == [1, 2, SMALL.steps]
    expected, actual = final(trained), final(out)
    names = sorted(file.name for file in expected.glob("*.safetensors"))
    assert names == sorted(file.name for file in actual.glob("*.safetensors"))
    for name in names:
        left, right = load_file(expected / name), load_file(actual / name)
        assert left.keys() == right.keys()
        for key, tensor in left.items():
            assert torch.equal(tensor, right[key]), key
    assert read_state(expected) == read_state(actual)


def test_files_are_small_and_none_is_pickled(trained: Path) -> None:
    files = [file for file in steps_folder(trained).rglob("*") if file.is_file()]
    assert len(files) <= 8
    for file in files:
        assert file.suffix in {".safetensors", ".json"}
        assert file.stat().st_size <= checkpoints.LARGEST
    assert sum(file.name.startswith("optimizer-") for file in files) > 1
    assert {file.parent for file in files} == {final(trained)}  # the states before are gone


def test_adapters_that_do_not_fit_into_a_file_are_refused(start: Path) -> None:
    learner = Learner(start / "checkpoint", replace(SMALL, rank=4000))
    with pytest.raises(CheckpointError, match=r"take .* MB.*rank of at most \d+"):
        Checkpoints(start, learner, "")


@pytest.mark.parametrize("change", [{"rate": 1e-4}, {"steps": 21}, {"seed": 2}])
def test_another_recipe_does_not_go_on(trained: Path, change: dict[str, float]) -> None:
    with pytest.raises(CheckpointError, match="another recipe"):
        train(trained, replace(SMALL, **change))  # type: ignore[arg-type]


def test_adapters_merged_are_adapters_applied(trained: Path) -> None:
    learner = restored(trained)
    batch = first_batch(trained)
    with torch.inference_mode():
        untouched = Learner(trained / "checkpoint", SMALL).eval()
        before, applied = hidden(untouched, batch), hidden(learner.eval(), batch)
        merged = learner.merge()
        after = text_hidden(merged.model.language_model, learner.image_tokens(batch.pixels), batch)
    assert_close(after.numpy(), applied.numpy(), rtol=1e-3, atol=1e-4)
    assert np.abs(before.numpy() - applied.numpy()).max() > 0.1
    assert not any("lora" in name for name in merged.state_dict())


def restored(out: Path) -> Learner:
    state = read_state(final(out))
    learner = Learner(out / "checkpoint", state.recipe)
    Checkpoints(steps_folder(out), learner, state.start).restore(final(out), state)
    return learner


def first_batch(out: Path) -> TextBatch:
    tokenizer = AutoTokenizer.from_pretrained(out / "checkpoint")
    return QuestionBatches(wording(tokenizer), SMALL)[0]


def hidden(learner: Learner, batch: TextBatch) -> torch.Tensor:
    return text_hidden(learner.vlm.model.language_model, learner.image_tokens(batch.pixels), batch)


def test_only_adapters_projector_and_tower_learn(start: Path) -> None:
    learner = Learner(start / "checkpoint", SMALL)
    learning = {name for name, each in learner.vlm.named_parameters() if each.requires_grad}
    for name in learning:
        assert "lora" in name or "vision_tower" in name or "projector" in name
    assert not any("lora" in name and "vision_tower" in name for name in learning)
    frozen = Learner(start / "checkpoint", replace(SMALL, tower_rate=0.0))
    assert not any(each.requires_grad for each in frozen.tower.parameters())


def test_a_packed_question_is_asked_as_the_checkpoint_is(trained: Path) -> None:
    """Token by token as Hugging Face's processor has it."""
    checkpoint = trained / "checkpoint"
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    put = wording(tokenizer)
    question, answer = "What letter is on the red square?", "K"
    before, (prompt, target) = put.before, put.encode(question, answer)
    text = PROMPT.format(text=question) + answer
    processor = AutoProcessor.from_pretrained(checkpoint)
    pixels = np.zeros((120, 120, 3), np.uint8)
    ids = processor(images=pixels, text=text, return_tensors="pt")["input_ids"][0].tolist()
    image = LlavaForConditionalGeneration.from_pretrained(checkpoint).config.image_token_id
    assert [token for token in ids if token != image] == [*before, *prompt, *target[:-1]]
    assert target[-1] == tokenizer.eos_token_id


def test_only_answers_are_learnt(start: Path) -> None:
    batch, again = first_batch(start), first_batch(start)
    known = int((batch.answers.length + 1).sum())  # with the end of each
    assert int((batch.targets != IGNORED).sum()) == known
    assert torch.equal(batch.pixels, again.pixels)
    assert torch.equal(batch.ids, again.ids)


def test_measuring_merges_exports_and_compares(trained: Path) -> None:
    arguments = ["--out", str(trained), "--threads", "1", "measure"]
    small = ["--scenes", "3", "--pictures", "2", "--group", "small"]
    for _ in range(2):  # the second time everything is there
        result = CliRunner().invoke(main, [*arguments, *small])
        assert result.exit_code == 0, result.output
    report = trained / "answers" / "report"
    read = msgspec.json.decode((report / "figures.json").read_bytes(), type=Report)
    answers = read.table("answers")
    assert [row[:2] for row in answers.rows] == [["small", 6]]
    assert read.table("training").rows[-1][0] == f"to {SMALL.steps}"
    (lines, *others) = trained.glob("answers/trained/eval-*/small-2/jsonl/contrast=on*.jsonl")
    assert not others
    assert len(lines.read_text().splitlines()) == 1 + 6
    questions = trained / "answers" / "questions" / "small-2" / "questions.jsonl"
    asked = [json.loads(line) for line in questions.read_text().splitlines()]
    assert all(each["box"][0] < each["box"][2] for each in asked)


def test_there_is_nothing_to_measure_before_training(start: Path) -> None:
    result = CliRunner().invoke(main, ["--out", str(start), "measure"])
    assert result.exit_code == 1
    assert "pocket_l.answers train" in result.output


def test_states_survive_json() -> None:
    state = State(SMALL, "start", 3, [(3, {"loss": 1.5})])
    assert msgspec.json.decode(msgspec.json.encode(state), type=State) == state
