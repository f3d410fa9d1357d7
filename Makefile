# What CI runs; each target works in the environment that is active.
.PHONY: check lint types test slow

check: lint types test

lint:
	ruff check .
	ruff format --check .

types:
	pyright

test:
	pytest

slow:
	pytest -m slow
