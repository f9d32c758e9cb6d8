"""The main tables: every kind of question, and every way to choose a part of the picture."""

from __future__ import annotations

from typing import get_args

import numpy as np

from carve_eval.reporting.tables import Cell, Table
from carve_models.settings import VARIANTS, FinalPrompt
from tools.research.quality.attempts import Attempt, Carved
from tools.research.quality.cached_bundle import skips
from tools.research.quality.study import (
    CATEGORIES,
    Study,
    accuracy,
    paired_difference,
    percent,
    plainly_right,
)


def by_kind(study: Study) -> Table:
    """Return plain, CARVE and the question's attention alone, for every kind of question."""
    rows: list[list[Cell]] = []
    attempts = (study.default, study.alone, study.automatic)
    for category in CATEGORIES:
        observations, (carve, alone, automatic) = study.category(category, attempts)
        plain = plainly_right(observations)
        rows.append(
            [
                category.name,
                len(observations),
                len({id(observation.image) for observation in observations}),
                *(accuracy(right, observations) for right in (plain, carve, alone, automatic)),
                *paired_difference(carve, plain),
                *paired_difference(carve, alone),
            ]
        )
    columns = (
        *("questions", "number", "pictures", "plain", "CARVE", "question alone", "auto everywhere"),
        *("CARVE : plain", "p", "CARVE : alone", "p"),
    )
    note = (
        "Percent with 95 % intervals, pictures resampled. A : B counts the questions that only A, "
        "and only B, answers rightly; p is McNemar's, exact."
    )
    return Table("kinds", "Kinds of question", columns, rows, note)


def adaptive(study: Study) -> Table | None:
    """Return the adaptive mode on every kind of question, if the bundle has thresholds for it."""
    settings = study.defaults
    if None in (settings.sure_probability, settings.focused_entropy):
        return None
    always = Carved("always", settings.override(adaptive=False))
    mode = Carved("adaptive", settings.override(adaptive=True, early_exit=False))
    rows: list[list[Cell]] = []
    for category in CATEGORIES:
        observations, (carve, adaptive) = study.category(category, (always, mode))
        plain = plainly_right(observations)
        skipped = [skips(study.bundle.manifest, each, mode.settings) for each in observations]
        rows.append(
            [
                category.name,
                *(percent(share) for share in (np.array(skipped), plain, carve, adaptive)),
                *paired_difference(adaptive, plain),
                *paired_difference(adaptive, carve),
            ]
        )
    columns = (
        *("questions", "skipped", "plain", "CARVE always", "adaptive"),
        *("adaptive : plain", "p", "adaptive : always", "p"),
    )
    return Table(
        "adaptive",
        "The adaptive mode",
        columns,
        rows,
        "Percent right; skipped: where the plain answer was kept.",
    )


def ways(study: Study) -> Table:
    """Return every variant, prompt and crop, and the experiments on small targets."""
    settings = study.defaults
    prompts = get_args(FinalPrompt)
    attempts: list[Attempt] = [study.default, study.alone]
    attempts += [
        Carved(f"{variant}, {prompt}", settings.override(variant=variant, final_prompt=prompt))
        for variant in VARIANTS
        for prompt in prompts
    ]
    attempts += [
        Carved(f"default, {prompt}", settings.override(final_prompt=prompt))
        for prompt in prompts
        if prompt != settings.final_prompt
    ]
    return _ways(study, "ways", "Ways to choose a part, small targets", [*attempts, *study.crops()])


def automatic(study: Study) -> Table:
    """Return each automatic setting on its own, beside fixed ones, on small targets."""
    settings = study.defaults
    attempts: list[Attempt] = [study.default, study.automatic, *study.each_automatic()]
    on = settings.override(contrast="on")
    attempts += [
        Carved("regularizer auto, contrast on", on.override(regularizer="auto")),
        Carved("regularizer 1e-8, contrast on", on.override(regularizer=1e-8)),
        Carved("per token over layers", on, per_token="layers"),
        Carved("per token over instructions", on, per_token="instructions"),
        Carved("p 0.2, K 3", settings.override(mask_top_p=0.2, max_regions=3)),
    ]
    return _ways(study, "automatic", "Automatic settings, small targets", attempts)


def _ways(study: Study, name: str, title: str, attempts: list[Attempt]) -> Table:
    observations = study.observations("small")
    reference = study.outcomes("small", [study.default])[0].right
    plain = accuracy(plainly_right(observations), observations)
    rows: list[list[Cell]] = [["plain", plain, *[None] * 5]]
    for attempt, outcome in zip(attempts, study.outcomes("small", attempts), strict=True):
        rows.append(
            [
                attempt.name,
                accuracy(outcome.right, observations),
                percent(outcome.in_mask),
                percent(outcome.in_box),
                100 * float(np.median(outcome.share)),
                *paired_difference(outcome.right, reference),
            ]
        )
    columns = ("way", "right", "in mask", "in box", "kept", "it : default", "p")
    note = (
        "In percent. In mask, in box: how often the target's centre is; kept: median share of the "
        "picture."
    )
    return Table(name, title, columns, rows, note)


def automatic_everywhere(study: Study) -> Table:
    """Return the automatic settings on every kind of question."""
    attempts = [study.default, study.automatic, *study.each_automatic()]
    rows: list[list[Cell]] = []
    for category in CATEGORIES:
        _, right = study.category(category, attempts)
        rows.append([category.name, *map(percent, right)])
    columns = ("questions", "default", *(attempt.name for attempt in attempts[1:]))
    title = "Automatic settings, every kind of question"
    return Table("automatic_kinds", title, columns, rows, "Percent right.")
