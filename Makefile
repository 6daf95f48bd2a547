# What contributors run, in the environment of `pip install -e '.[dev,docs]'`; see CONTRIBUTING.md.
.PHONY: check test test-fast docs

check: # lint, format, types, import contracts, and the pages where mkdocs is installed
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	@if command -v mkdocs >/dev/null; then $(MAKE) --no-print-directory docs; \
	else echo "pages not built: pip install -e '.[docs]'"; fi

test: # every test
	python -m pytest

test-fast: # all but the slow tests
	python -m pytest -m "not slow"

docs: # the pages, into build/site/
	mkdocs build --strict
