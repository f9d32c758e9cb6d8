"""The benchmarks that can be run, in the order of the paper's tables."""

from __future__ import annotations

from tools.eval.aokvqa import AOKVQAChoice, AOKVQADirect
from tools.eval.benchmark import Benchmark
from tools.eval.pope import Pope
from tools.eval.textvqa import TextVQA
from tools.eval.vstar import VStar

BENCHMARKS: tuple[Benchmark, ...] = (AOKVQAChoice(), AOKVQADirect(), Pope(), VStar(), TextVQA())
