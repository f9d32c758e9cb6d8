"""Pocket-L taught to answer: in come the untrained checkpoint and questions, out go adapters."""
