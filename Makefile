# Everything a person or a CI machine types. `make` alone lists it.
# The work is done by scripts/, in Python; this file only names it.

.DEFAULT_GOAL := help
.PHONY: help demo run install check test test-full soak types lock screenshots report clean

PYTHON_OF_VENV := .venv/bin/python

help: ## list these commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | while IFS='|' read -r name text; do printf '  make %-11s %s\n' "$$name" "$$text"; done

demo: install ## install, start Darkroom, train the example on the bundled tiny model
	@$(PYTHON_OF_VENV) scripts/demo.py

run: install ## install what changed, start server and worker
	@.venv/bin/darkroom up

install: ## the virtual environment, locked packages and the built pages
	@python="$$(sh scripts/find_python.sh)" && "$$python" scripts/install.py

.PHONY: install-dev
install-dev:
	@python="$$(sh scripts/find_python.sh)" && "$$python" scripts/install.py --dev

check: install-dev ## lint, types, import rules and unit tests (under 3 minutes)
	@$(PYTHON_OF_VENV) scripts/check.py check

test: install-dev ## check, and the tests with real processes and a real browser (under 15 minutes)
	@$(PYTHON_OF_VENV) scripts/check.py test

test-full: install-dev ## all of it, the tests of twenty seconds and more too (under 75 minutes)
	@$(PYTHON_OF_VENV) scripts/check.py full

soak: install-dev ## hundreds of rounds of faults; goes on where it was, writes docs/reliability.md
	@PYTHONPATH=. $(PYTHON_OF_VENV) scripts/soak.py

types: install-dev ## write openapi.json, the TypeScript types and the settings reference anew
	@$(PYTHON_OF_VENV) scripts/generate.py

lock: install-dev ## write the lock files of Python packages anew (needs the network)
	@$(PYTHON_OF_VENV) scripts/lock.py

screenshots: install-dev ## train the example and draw the pictures of README and docs anew
	@$(PYTHON_OF_VENV) scripts/screenshots.py

report: install-dev ## train on the tiny model with many settings, write docs/learning.md anew
	@$(PYTHON_OF_VENV) scripts/learning_report.py

clean: ## remove what make built; datasets, output and settings stay
	rm -rf .venv frontend/node_modules frontend/dist build *.egg-info
	rm -rf .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find trainer backend tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
