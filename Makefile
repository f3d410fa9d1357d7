# What CI runs; each target works in the environment that is active.
.PHONY: check lint types test slow audit coverage

check: lint types test

lint:
	ruff check .
	ruff format --check .
	lint-imports

types:
	pyright

test:
	pytest

slow:
	pytest -m slow

# Known vulnerabilities of the pinned dependencies; needs pip-audit and the network.
audit:
	pip-audit --disable-pip --no-deps -r constraints.txt

# Lines of the package that the quick suite runs; fails below the share that pyproject.toml sets.
coverage:
	coverage erase
	coverage run -m pytest
	coverage combine
	coverage report --sort=cover
