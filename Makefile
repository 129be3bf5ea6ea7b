# make demo: train the LeNet of section 6.6 on sample data    make test: the whole test suite
# make gallery: the book as a web site, build/gallery/html    make test-gallery: that, in Chromium
# All make .venv first; PYTHON=/path/to/python3.11 chooses another Python (3.9 to 3.11).

SUITABLE := import sys, venv, ensurepip; sys.exit(not (3, 9) <= sys.version_info[:2] < (3, 12))
CANDIDATES := python3.11 python3.10 python3.9 python3 python
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	if $$p -c '$(SUITABLE)' 2>/dev/null; then echo $$p; break; fi; done)
ENV := .venv
VENV := $(ENV)/bin/python
EXTRAS ?= cpu,dev

.PHONY: demo test test-cu112 lib gallery test-gallery clean

demo: $(ENV)/installed
	D2L_DATA=sample $(VENV) -m chapters run 6.6

test: $(ENV)/installed
	$(VENV) -m pytest

test-cu112:                 # the same tests with mxnet-cu112, in .venv-cu112: 2 GB are fetched
	$(MAKE) test ENV=.venv-cu112 EXTRAS=cu112,dev

lib: $(ENV)/installed        # what is generated from the chapters
	$(VENV) -m ci.build_lib
	$(VENV) -m ci.readme

gallery: $(ENV)/gallery
	D2L_DATA=sample $(VENV) -m chapters gallery --quick

test-gallery: gallery
	$(VENV) -m pytest -n 0 tests/browser_gallery.py

$(ENV)/gallery: $(ENV)/installed
	$(VENV) -m pip install --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS),gallery]'
	touch $@

$(ENV)/installed: setup.py d2l_cuda.py constraints.txt
	@test -n '$(PYTHON)' || { echo 'd2l needs Python 3.9, 3.10 or 3.11 with venv (MXNet 1.9.1' \
		'needs NumPy < 1.24): install one, or say make PYTHON=/path/to/python3.11'; exit 1; }
	$(PYTHON) -m venv $(ENV)
	$(VENV) -m pip install --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

clean:
	rm -rf .venv .venv-cu112 build
