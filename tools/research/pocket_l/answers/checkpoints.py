"""What training has reached, as safetensors: adapters, weights, optimiser, random numbers.

``OUT/NNNNNN`` is the state after so many steps. Only the last is kept. No file is larger than
``LARGEST``, and nothing is pickled.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import load_file, save_file

from carve_models.errors import CheckpointError
from carve_models.replacing import write_json
from tools.research.pocket.training.loop import Metrics, Stage
from tools.research.pocket_l.answers.learner import Learner, Tensors
from tools.research.pocket_l.answers.recipe import Recipe
from tools.shared.files import write_once

#: Bytes of a file, at most; and of its header, with names and shapes.
LARGEST, _HEADER = 14_000_000, 200_000
ADAPTERS, PARTS = "adapter_model.safetensors", "projector_and_tower.safetensors"
_OPTIMIZER, _STATE = "optimizer{suffix}.safetensors", "state.json"
_RANDOM = "random"


class State(msgspec.Struct, frozen=True):
    """What is not a tensor.

    Attributes:
        recipe: what was trained with.
        start: identity of the checkpoint that training started from.
        step: steps done, which is also the position in the data.
        history: (step, means since the last) for each line of the log.
    """

    recipe: Recipe
    start: str
    step: int
    history: list[tuple[int, Metrics]]


class Checkpoints:
    """Keeps a learner's training in a folder."""

    def __init__(self, folder: Path, learner: Learner, start: str) -> None:
        """Name the folder.

        Args:
            folder: of the states.
            learner: what is trained.
            start: identity of the checkpoint that it was loaded from.

        Raises:
            CheckpointError: the adapters would not fit into one file.
        """
        size, room = sum(each.nbytes for each in learner.adapters.values()), LARGEST - _HEADER
        if size > room:
            rank = learner.recipe.rank
            raise CheckpointError(
                f"adapters of rank {rank} take {size / 1e6:.1f} MB, and a file has room for "
                f"{room / 1e6:.1f}",
                f"choose a rank of at most {room * rank // size}",
            )
        self._folder, self._learner, self._start = folder, learner, start
        self._history: list[tuple[int, Metrics]] = []

    def note(self, step: int, means: Metrics) -> None:
        """Take note of a line of the log."""
        self._history.append((step, means))

    def save(self, stage: Stage, step: int) -> None:
        """Write a folder that appears complete or not at all; then delete the one before."""
        before = list(steps(self._folder))
        write_once(self._folder / f"{step:06}", lambda aside: self._write(stage, step, aside))
        for folder in before:
            if folder.name != f"{step:06}":
                shutil.rmtree(folder)

    def _write(self, stage: Stage, step: int, folder: Path) -> None:
        save_file(_cpu(self._learner.adapters), folder / ADAPTERS)
        self._learner.adapted.peft_config["default"].save_pretrained(folder)
        save_file(_cpu(self._learner.parts), folder / PARTS)
        state = _flat(stage.optimizers) | _random_state(self._learner.device)
        save_torch_state_dict(
            dict(sorted(_cpu(state).items())),  # the same files, in whatever order it was restored
            folder,
            filename_pattern=_OPTIMIZER,
            max_shard_size=LARGEST - _HEADER,
        )
        write_json(folder / _STATE, State(self._learner.recipe, self._start, step, self._history))

    def load(self, stage: Stage) -> int:
        """Restore the last state, if there is one; return the steps done.

        Raises:
            CheckpointError: it is of another recipe.
        """
        folder = last(self._folder)
        if folder is None:
            return 0
        state = read_state(folder)
        self.restore(folder, state)
        tensors: Tensors = {}
        for file in folder.glob(_OPTIMIZER.format(suffix="*")):
            tensors |= load_file(file)
        _set_random_state(tensors, self._learner.device)
        _unflatten(tensors, stage.optimizers)
        self._history = list(state.history)
        return state.step

    def restore(self, folder: Path, state: State) -> None:
        """Restore the weights alone.

        Raises:
            CheckpointError: they are of another recipe.
        """
        if (state.recipe, state.start) != (self._learner.recipe, self._start):
            raise CheckpointError(
                f"{folder} is of another recipe, or began with another checkpoint",
                "repeat the options that it was begun with, or delete it",
            )
        self._learner.restore(load_file(folder / ADAPTERS), load_file(folder / PARTS))


def steps(folder: Path) -> Iterator[Path]:
    """Yield the states in a folder, the last one last."""
    yield from sorted(folder.glob("[0-9]" * 6))


def last(folder: Path) -> Path | None:
    """Return the last state in a folder, if there is one."""
    return next(reversed(list(steps(folder))), None)


def read_state(folder: Path) -> State:
    """Return what one state says of itself."""
    return msgspec.json.decode((folder / _STATE).read_bytes(), type=State)


def _cpu(tensors: Tensors) -> Tensors:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _flat(optimizers: Iterable[torch.optim.Optimizer]) -> Tensors:
    """Return the optimisers' tensors by "optimizer.parameter.name"."""
    return {
        f"{number}.{index}.{name}": value
        for number, optimizer in enumerate(optimizers)
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def _unflatten(tensors: Tensors, optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """Give the optimisers back what :func:`_flat` took."""
    for number, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Any]] = {}
        for key, value in tensors.items():
            owner, _, rest = key.partition(".")
            if owner == str(number):
                index, _, name = rest.partition(".")
                state.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def _random_state(device: torch.device) -> Tensors:
    """Return the states of PyTorch's generators."""
    states = {f"{_RANDOM}.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states[f"{_RANDOM}.cuda"] = torch.cuda.get_rng_state(device)
    return states


def _set_random_state(tensors: Tensors, device: torch.device) -> None:
    torch.set_rng_state(tensors[f"{_RANDOM}.cpu"])
    if device.type == "cuda" and f"{_RANDOM}.cuda" in tensors:
        torch.cuda.set_rng_state(tensors[f"{_RANDOM}.cuda"], device)
