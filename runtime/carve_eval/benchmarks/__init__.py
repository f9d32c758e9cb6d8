"""The benchmarks that can be run, in the order of the paper's tables."""

from __future__ import annotations

from carve_eval.benchmarks.aokvqa import AOKVQAChoice, AOKVQADirect
from carve_eval.benchmarks.benchmark import Benchmark
from carve_eval.benchmarks.own import OwnQuestions
from carve_eval.benchmarks.pope import Pope
from carve_eval.benchmarks.textvqa import TextVQA
from carve_eval.benchmarks.vstar import VStar

BENCHMARKS: tuple[Benchmark, ...] = (
    AOKVQAChoice(),
    AOKVQADirect(),
    Pope(),
    VStar(),
    TextVQA(),
    OwnQuestions(),
)
