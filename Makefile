# The words of a contributor. Readers need two: `make run` and `make test`.

PYTHON ?= $(if $(filter Windows_NT,$(OS)),py,python3)
VENV = .venv
# Bytecode is made and kept of what is imported, not of all that is installed: that would take a minute.
INSTALL = -m pip install --quiet --disable-pip-version-check --no-compile
unexport PYTHONDONTWRITEBYTECODE
BIN = $(if $(filter Windows_NT,$(OS)),$(VENV)/Scripts,$(VENV)/bin)

.PHONY: run test benchmark gpu-check chapters book slides versions style clean

run: $(VENV)/.run
	@$(BIN)/python -m companion run $(ARGS)

test: $(VENV)/.test
	$(BIN)/python -m pytest $(ARGS)

# Speed, as ratios: each library in a process of its own.
benchmark: $(VENV)/.benchmark
	$(BIN)/python -m pytest tests/benchmarks -o addopts= -s $(ARGS)

# Where an NVIDIA GPU is, and the extra gpu: the models' tests on it, and updates a second beside the processor's.
gpu-check: $(VENV)/.test
	$(BIN)/python tests/gpu_check.py $(ARGS)

# Execute the chapters (or those that NAMES begin) on all of MNIST and store their outputs.
chapters: $(VENV)/.test
	$(BIN)/python tests/execute_chapters.py $(NAMES)

# A deck for each chapter (or those that NAMES begin), in build/slides. Needs npm, once.
slides: $(VENV)/.run
	$(BIN)/python site/slides.py $(NAMES)

# The quick tests with the oldest and the newest of what the book depends on. Needs uv.
versions:
	$(PYTHON) tests/versions.py $(ARGS)

# The book as pages in build/book, from the committed outputs; nothing is executed.
book: $(VENV)/.book
	$(BIN)/python site/build.py

style: $(VENV)/.test
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache .hypothesis

$(VENV)/.created:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'The book needs Python 3.11 or newer: make run PYTHON=python3.12')"
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.run: EXTRAS =
$(VENV)/.test: EXTRAS = [test]
$(VENV)/.benchmark: EXTRAS = [test,benchmark]
$(VENV)/.book: EXTRAS = [book]
$(addprefix $(VENV)/.,run test benchmark book): $(VENV)/.created pyproject.toml
	@echo "Installing the book$(if $(EXTRAS), with $(EXTRAS),) into $(VENV): some minutes the first time, seconds afterwards."
	@$(BIN)/python $(INSTALL) -e ".$(EXTRAS)"
	touch $@
