# Farebox: `make run` runs it, `make test` checks everything, `make demo` shows it without a key or a network.
# Nothing but Python 3.11 or newer and make is needed; everything goes into .venv.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: run demo test lock clean

run: .venv/run.done
	@exec $(BIN)/farebox serve

demo: .venv/run.done
	@exec $(BIN)/farebox demo

test: .venv/dev.done .venv-openai1/done
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

# Pins every version with its hashes and no address. Needs uv; run it to take in new versions.
lock:
	uv pip compile --universal --generate-hashes --no-header --upgrade --extra build -o requirements.lock pyproject.toml
	uv pip compile --universal --generate-hashes --no-header --upgrade --extra build --extra dev \
		--constraint requirements.lock -o requirements-dev.lock pyproject.toml
	uv pip compile --universal --generate-hashes --no-header --upgrade --python-version 3.11 \
		-o tests/e2e/openai-1.lock tests/e2e/openai-1.in

clean:
	rm -rf .venv .venv-openai1 build *.egg-info farebox-demo

.venv/run.done: requirements.lock pyproject.toml
	@$(call install,.venv,requirements.lock)
	@touch $@

.venv/dev.done: requirements-dev.lock .venv/run.done
	@$(call install,.venv,requirements-dev.lock)
	@touch $@

# The previous generation of the SDK, driven by the tests in a process of its own.
.venv-openai1/done: tests/e2e/openai-1.lock
	@test -x .venv-openai1/bin/python || $(PYTHON) -m venv .venv-openai1
	@.venv-openai1/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r $<
	@touch $@

define install
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Farebox needs Python 3.11 or newer; name one with PYTHON=python3.x")' \
&& { test -x $(1)/bin/python || { echo "Installing into $(1)…"; $(PYTHON) -m venv $(1); }; } \
&& $(1)/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r $(2) \
&& $(1)/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
endef
