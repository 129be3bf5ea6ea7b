# make demo: train the LeNet of section 6.6 on sample data    make test: the whole test suite
# make lab: JupyterLab on the sections as notebooks; DATA=sample: on sample data
# make gallery: the book as a web site, build/gallery/html    make test-gallery: that, in Chromium
# All make .venv first; PYTHON=/path/to/python3.12 chooses another Python (3.9 to 3.14).

SUITABLE := import sys, venv, ensurepip; sys.exit(not (3, 9) <= sys.version_info[:2] < (3, 15))
CANDIDATES := python3 python3.13 python3.12 python3.11 python3.14 python3.10 python3.9 python
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	if $$p -c '$(SUITABLE)' 2>/dev/null; then echo $$p; break; fi; done)
ENV := .venv
# some of chapters that read tables, draw, or print what NumPy, pandas and matplotlib changed
SECTIONS := 2.1 2.2 2.4 3.6 4.4 4.10 6.6 11.1 11.2 13.4 14.7 15.2 17.2 17.4 17.6
VENV := $(ENV)/bin/python
PIP := $(VENV) -m pip install --disable-pip-version-check --no-compile -c constraints.txt
# All modules are compiled: with PYTHONDONTWRITEBYTECODE, Python would do so in each of its processes.
# pip would compile one after another, and those of tests, too. A module that is none for this Python
# is no error here.
COMPILE := -$(VENV) -W ignore -m compileall -q -q -j 0 -x '/tests?/' $(ENV)/lib
BUILD ?= cpu

.PHONY: demo lab python test test-part test-cu112 test-arm64 test-colab lib gallery test-gallery clean

demo: $(ENV)/installed
	D2L_DATA=sample $(VENV) -m chapters run 6.6

lab: $(ENV)/lab
	$(VENV) -m chapters lab $(if $(DATA),--data $(DATA))

python:                      # which Python the others use
	@echo $(PYTHON)

test: $(ENV)/installed
	$(VENV) -m pytest

test-part: $(ENV)/installed  # what another Python may break: sections, compiler, repairs, networks
	$(VENV) -m pytest tests/test_compat.py tests/test_finder.py tests/test_packaging.py \
		tests/test_hybrid.py tests/test_hybrid_modes.py tests/test_hybrid_state.py tests/test_loaders.py
	$(VENV) -m pytest $(SECTIONS:%='tests/test_outputs.py::test_section_runs_and_prints_what_the_book_prints[%]')
	$(VENV) -m ci.regress linreg mlp lenet batch_norm lstm seq2seq_attention transformer \
		sentiment_rnn neumf dcgan_generator

test-cu112:                 # the same tests with mxnet-cu112, in .venv-cu112: 2 GB are fetched
	$(MAKE) test ENV=.venv-cu112 BUILD=cu112

test-arm64: $(ENV)/installed     # under QEMU, which is fetched, with an arm64 Python and its wheels
	$(VENV) -m ci.arm64

.venv-colab/bin/python:      # what a kernel of Colab has imported before the first cell
	$(PYTHON) -m venv .venv-colab
	.venv-colab/bin/python -m pip install --disable-pip-version-check ipython==7.34.0 \
		ipykernel==6.17.1 numpy==2.0.2 pandas==2.2.2 matplotlib==3.10.0

test-colab: $(ENV)/installed .venv-colab/bin/python     # PYTHON=python3.12: MXNet is fetched
	$(VENV) -m pytest -n 0 tests/colab.py

lib: $(ENV)/installed        # what is generated from the chapters
	$(VENV) -m ci.build_lib
	$(VENV) -m ci.readme

gallery: $(ENV)/gallery
	D2L_DATA=sample $(VENV) -m chapters gallery --quick

test-gallery: gallery
	$(VENV) -m pytest -n 0 tests/browser_gallery.py

$(ENV)/gallery: $(ENV)/installed
	$(PIP) -e '.[dev,gallery]'
	$(COMPILE)
	touch $@

$(ENV)/lab: $(ENV)/installed
	$(PIP) -e '.[dev,lab]'
	$(COMPILE)
	touch $@

$(ENV)/installed: pyproject.toml setup.py d2l_finder.py d2l_mxnet.py d2l_arm.py constraints.txt
	@test -n '$(PYTHON)' || { echo 'd2l needs Python 3.9 to 3.14 with venv (on Debian and Ubuntu:' \
		'apt install python3-venv), or say make PYTHON=/path/to/python3.12'; exit 1; }
	$(PYTHON) -m venv $(ENV)
	$(VENV) -m pip uninstall -y -q d2l 2>/dev/null      # its name before it was d2l-mxnet
	$(PIP) -e '.[dev]'
	$(VENV) -m d2l_mxnet $(BUILD)
	$(COMPILE)
	touch $@

clean:
	rm -rf .venv .venv-* build
