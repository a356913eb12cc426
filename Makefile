# Two commands matter: `make demo` and `make test`. Both set up everything they need in virtual environments here.

# The first Python that is new enough; `make PYTHON=/path/to/python3.12 demo` chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; exit; }; \
	done; echo python3)
BIN := .venv/bin
DEV := .venv-dev/bin
ARGS ?=
# The tests of a file stay together: they share their host, or their compiled programs.
TESTS := $(DEV)/python -m pytest -q -n 6 --dist loadfile --no-loadscope-reorder

# Without the compiled files that Python keeps beside the modules, each of the many processes here starts half a second later.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: release voice postgres demo test stories golden test-slow check quick slow unit coverage fuzz fuzz-minute kills wheel-check page-check bench chip docs pictures sbom setup setup-dev setup-system system-packages lock clean help

help:            ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: setup $(if $(findstring --voice,$(ARGS)),voice)      ## a sentence becomes a program on a virtual board; ARGS=--once for no questions
	@$(BIN)/microclaw demo $(ARGS)

test: check page-check quick  ## lint, types, import order, all tests but the slow ones; CI runs those too
test-slow: slow wheel-check  ## the slow tests, the wheel in empty environments

setup:
	@$(PYTHON) scripts/setup_env.py --venv .venv --lock requirements.lock

voice: setup     ## what speech with devices needs, into .venv (500 MB); flite and espeak-ng come with setup-system
	@$(BIN)/python -m pip install -q --require-hashes --no-deps -r requirements-voice.lock

postgres: setup  ## what `up --database` needs, into .venv; a server comes with setup-system
	@$(BIN)/python -m pip install -q --require-hashes --no-deps -r requirements-postgres.lock

setup-dev:
	@$(PYTHON) scripts/setup_env.py --venv .venv-dev --lock requirements-dev.lock

setup-system:    ## system packages (needs root): what a bare Debian or Ubuntu lacks for demo and test
	apt-get update -q
	apt-get install -y -q --no-install-recommends python3-venv python3-dev binaryen bubblewrap clang lld flite espeak-ng mosquitto postgresql chromium

system-packages:
	@scripts/system_packages.sh
	@scripts/micropython.sh

check: setup-dev ## lint, types, import order, the rooms' budgets, words
	$(DEV)/ruff check .
	$(DEV)/ruff format --check .
	$(DEV)/mypy
	$(DEV)/lint-imports
	$(DEV)/python scripts/budgets.py
	$(DEV)/python scripts/ceilings.py
	$(DEV)/python scripts/words.py

page-check:      ## types of the page's scripts (needs node; TypeScript is fetched by npm, its bytes checked)
	@scripts/page_check.sh

quick: system-packages setup-dev
	$(TESTS) -m "not slow" $(ARGS)

slow: system-packages setup-dev
	$(TESTS) -m slow $(ARGS)

stories: system-packages setup-dev ## what a user does, through public doors alone, by processes and kill -9
	$(DEV)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder tests/stories $(ARGS)

golden: system-packages setup-dev ## write the texts of each surface anew (tests/golden/*.txt); git diff shows what changed
	MICROCLAW_GOLDEN=1 $(DEV)/python -m pytest -q tests/golden

unit: system-packages setup-dev ## all tests, quick and slow
	$(TESTS) $(ARGS)

coverage: system-packages setup-dev ## all tests, and what of the host's own process they reach (a third slower)
	$(DEV)/python -m pytest -q -n 2 --cov --cov-report=term:skip-covered --cov-fail-under=80 $(ARGS)

# What is asked to run for long may do so.
PATIENT := -o faulthandler_timeout=86400
FUZZ_S ?= 60
ifeq ($(origin FUZZ_SEED),undefined)
FUZZ_SEED := $(shell od -An -N8 -tx8 /dev/urandom | tr -d ' ')
endif
fuzz: setup-dev  ## properties and decoders with new random examples, each fuzz target for FUZZ_S seconds
	@echo "fuzz targets with the seed $(FUZZ_SEED); once more: make fuzz FUZZ_SEED=$(FUZZ_SEED)"
	@MICROCLAW_LONGEST_S=86400 MICROCLAW_FUZZ=1 MICROCLAW_FUZZ_S=$(FUZZ_S) MICROCLAW_FUZZ_SEED=$(FUZZ_SEED) \
	  $(DEV)/python -m pytest -q -n 2 $(PATIENT) tests/fuzz tests/wire tests/programs/wasm/libc $(ARGS)

fuzz-minute: setup-dev ## all fuzz targets together a minute, from the saved corpus, with a new seed; CI does it
	@echo "fuzz targets with the seed $(FUZZ_SEED); once more: make fuzz-minute FUZZ_SEED=$(FUZZ_SEED)"
	@MICROCLAW_FUZZ_ALL_S=60 MICROCLAW_FUZZ_SEED=$(FUZZ_SEED) $(DEV)/python -m pytest -q -n 2 tests/fuzz $(ARGS)

kills: system-packages setup-dev ## kill -9 of host, virtual board and firmware at 200 random moments each, under load, ten minutes of a cluster's hosts; ARGS are pytest's
	MICROCLAW_LONGEST_S=86400 MICROCLAW_KILLS=200 MICROCLAW_CHAOS_S=600 $(DEV)/python -m pytest -q $(PATIENT) tests/host/cluster/test_chaos.py tests/devices/link/test_kill.py tests/virtual/link/test_kills.py tests/firmware/test_kill.py $(ARGS)

wheel-check: setup-dev ## build sdist and wheel, install them by pip, pipx and uvx into empty environments, run them there
	$(DEV)/python scripts/wheel_check.py

release: setup-dev ## the files of a release in a new folder: make release OUT=DIR (docs/releasing.md); uploads nothing
	$(DEV)/python scripts/release.py build -o "$(OUT)" $(ARGS)

bench: setup-dev ## measure: make bench ARGS=wasm (or agent, store, virtual; none: all)
	@$(DEV)/python -m bench $(ARGS)

chip: setup-dev  ## the whole way on an emulated ESP32 (docs/flash.md): make chip EMULATOR="qemu-system-xtensa -L ROMS" IMAGE=FILE
	@PYTHONPATH=src $(DEV)/python scripts/chip.py --emulator "$(EMULATOR)" --image "$(IMAGE)" $(ARGS)

docs: setup-dev  ## write the pages and tables of docs/ that are made from the code, and examples/
	$(DEV)/python scripts/configuration_page.py
	$(DEV)/python scripts/boards_page.py
	$(DEV)/python scripts/parts_page.py
	$(DEV)/python scripts/core_page.py
	$(DEV)/python scripts/cli_page.py
	$(DEV)/python scripts/examples.py

pictures: system-packages setup-dev ## make the pictures of README and docs/page.md anew, from hosts with virtual boards in Chromium
	MICROCLAW_PICTURES=1 $(DEV)/python -m pytest -q $(addprefix tests/interfaces/page/test_,lively_bench.py drawing.py approvals.py add_part.py)

lock:            ## make the lock files anew (needs uv); they carry hashes and no addresses
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --extra c \
	  --python-version 3.11 pyproject.toml -o requirements.lock
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
	  --python-version 3.11 --group build -o requirements-build.lock
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
	  --python-version 3.11 --group packages -o requirements-packages.lock
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --extra c --extra voice --extra postgres \
	  --python-version 3.11 pyproject.toml --group dev -o requirements-dev.lock
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["voice"], sep="\n")' \
	  | uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
	  --python-version 3.11 -c requirements.lock - -o requirements-voice.lock
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["postgres"], sep="\n")' \
	  | uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
	  --python-version 3.11 -c requirements.lock - -o requirements-postgres.lock

sbom: setup-dev  ## the bill of materials of what runs (CycloneDX 1.6) in dist/, made from the lock files
	$(DEV)/python scripts/sbom.py -o dist/microclaw.cdx.json

clean:           ## remove what make made
	rm -rf .venv .venv-dev .venv-wheel .venv-packages .micropython .page-check dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
