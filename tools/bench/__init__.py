"""Speed and memory: in come bundles and their checkpoints, out go figures with their spread."""
