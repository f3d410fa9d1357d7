# What CI runs; each target works in the environment that is active.
.PHONY: check lint types test slow coverage

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

# Lines of the package that the quick suite runs; fails below the share that pyproject.toml sets.
coverage:
	coverage erase
	coverage run -m pytest
	coverage combine
	coverage report --sort=cover
