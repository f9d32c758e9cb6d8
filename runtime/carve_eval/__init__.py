"""Public benchmarks: in come a bundle and published data sets, out go the paper's tables."""
