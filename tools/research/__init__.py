"""Research on pocket: in come seeds and models of others, out go a checkpoint and figures."""
