"""What is within a model's own rounding passes; another layer, position or mask never does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from carve_export.check.parity import LARGEST_ROUNDING, Comparison, compare_outputs, require_parity
from carve_export.check.reference import Outputs, Reference, references
from carve_export.checkpoint.load import load_checkpoint
from carve_models import names
from carve_models.errors import ParityError
from carve_models.graph_spec import Dtype
from carve_runtime.bundle import Bundle, open_bundle
from carve_runtime.prompt.text import Text
from tests.conftest import CheckpointOf, ExportOf, HeadsOf

CASE = "llava-clip-gqa"
Edit = Callable[[Outputs], Outputs]
DTYPES: tuple[Dtype, ...] = ("float32", "float16")


@dataclass(frozen=True)
class Pair:
    """A bundle, and what PyTorch computes."""

    bundle: Bundle
    expected: list[Reference]

    def compare(self, edit: Edit, *, rounded: bool = True) -> list[Comparison]:
        """Compare with references that are edited, those in the bundle's type if ``rounded``."""
        return compare_outputs(
            self.bundle,
            [
                replace(
                    reference,
                    exact=edit(reference.exact),
                    rounded=edit(reference.rounded) if rounded else reference.rounded,
                )
                for reference in self.expected
            ],
        )


@pytest.fixture(scope="module", params=DTYPES)
def pair(
    request: pytest.FixtureRequest,
    export_of: ExportOf,
    half_of: ExportOf,
    checkpoint_of: CheckpointOf,
) -> Pair:
    made = {"float32": export_of, "float16": half_of}[request.param](CASE, "ort")
    bundle = open_bundle(made.folder)
    checkpoint = load_checkpoint(str(checkpoint_of(CASE)), dtype=request.param)
    text = Text(bundle.path(names.TOKENIZER_FILE), bundle.manifest.decoder.control_ids)
    return Pair(bundle, references(checkpoint, bundle.manifest, text))


def nothing(outputs: Outputs) -> Outputs:
    return outputs


def another_layer(outputs: Outputs) -> Outputs:
    """Exchange the rows of the tapped layers."""
    return replace(outputs, attention=outputs.attention[::-1])


def another_position(outputs: Outputs) -> Outputs:
    """Take each position's results from the one before it."""
    return replace(
        outputs,
        logits=np.roll(outputs.logits, 1, axis=0),
        attention=np.roll(outputs.attention, 1, axis=1),
    )


def another_mask(outputs: Outputs) -> Outputs:
    """Hide the first position from all others."""
    attention = outputs.attention.copy()
    attention[:, 1:, 0] = 0
    attention /= attention.sum(axis=-1, keepdims=True)
    return replace(outputs, attention=attention)


def another_image(outputs: Outputs) -> Outputs:
    """Take the image's tokens in another order."""
    return replace(outputs, features=[features[:, ::-1] for features in outputs.features])


@pytest.mark.parametrize(
    ("edit", "output"),
    [
        (another_layer, "attention"),
        (another_position, "attention"),
        (another_position, "logits"),
        (another_mask, "attention"),
        (another_image, "image features"),
    ],
)
def test_a_graph_that_computes_something_else_is_refused(
    edit: Edit, output: str, pair: Pair
) -> None:
    assert all(row.passed for row in pair.compare(nothing))
    rows = pair.compare(edit)
    wrong = {row.name for row in rows if not row.passed}
    assert wrong >= {row.name for row in rows if output in row.name}
    with pytest.raises(ParityError, match=r"times that is allowed\. Report the checkpoint's arch"):
        require_parity(rows)


def test_heads_in_another_order_are_refused(heads_of: HeadsOf, checkpoint_of: CheckpointOf) -> None:
    """Their mean would be the same."""
    bundle = open_bundle(heads_of(CASE, "ort"))
    checkpoint = load_checkpoint(str(checkpoint_of(CASE)))
    text = Text(bundle.path(names.TOKENIZER_FILE), bundle.manifest.decoder.control_ids)
    pair = Pair(bundle, references(checkpoint, bundle.manifest, text))
    assert all(row.passed for row in pair.compare(nothing))

    def another_head(outputs: Outputs) -> Outputs:
        return replace(outputs, attention=outputs.attention[:, ::-1])

    rows = [row for row in pair.compare(another_head) if "attention" in row.name]
    assert rows
    assert not any(row.passed for row in rows)


def test_a_small_difference_is_seen_in_float32(pair: Pair) -> None:
    """One that half precision hides."""

    def scale(outputs: Outputs) -> Outputs:
        return replace(outputs, logits=outputs.logits * (1 + 5e-5))

    rows = [row for row in pair.compare(scale) if "logits" in row.name]
    assert {row.passed for row in rows} == {pair.bundle.manifest.dtype != "float32"}


def test_a_model_that_rounds_too_much_tells_nothing(pair: Pair) -> None:
    """Without its limit, PyTorch's own mistake would allow ours."""
    rows = pair.compare(another_position, rounded=False)
    rows = [row for row in rows if "logits" in row.name]
    assert all(row.rounding > LARGEST_ROUNDING and row.error < row.allowed for row in rows)
    assert not any(row.passed for row in rows)
    with pytest.raises(ParityError, match=r"cannot be compared: .*\. Choose a wider --dtype"):
        require_parity(rows)


def test_the_margin_can_be_chosen(pair: Pair) -> None:
    assert not any(row.passed for row in compare_outputs(pair.bundle, pair.expected, margin=1e-3))


def test_nan_is_a_difference(pair: Pair) -> None:
    for error, rounding in ((np.nan, 1e-6), (1e-6, np.nan)):
        assert not Comparison("decoder", "logits", error, rounding, 4.0).passed

    def spoil(outputs: Outputs) -> Outputs:
        logits = outputs.logits.copy()
        logits[-1, 0] = np.nan
        return replace(outputs, logits=logits)

    assert not any(row.passed for row in pair.compare(spoil) if "logits" in row.name)
