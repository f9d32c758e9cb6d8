"""The benchmarks that can be run, in the order of the paper's tables."""

from __future__ import annotations

from tools.eval.benchmarks.aokvqa import AOKVQAChoice, AOKVQADirect
from tools.eval.benchmarks.benchmark import Benchmark
from tools.eval.benchmarks.pope import Pope
from tools.eval.benchmarks.textvqa import TextVQA
from tools.eval.benchmarks.vstar import VStar

BENCHMARKS: tuple[Benchmark, ...] = (AOKVQAChoice(), AOKVQADirect(), Pope(), VStar(), TextVQA())
