# One-word commands; they use whatever environment is active.
.PHONY: lint format types test

lint:
	ruff check .
	ruff format --check .

format:
	ruff check --fix .
	ruff format .

types:
	mypy

test:
	pytest
