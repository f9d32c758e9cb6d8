# One-word commands; they use whatever environment is active.
.PHONY: lint format types test site demo pocket pocket-l

lint:
	ruff check .
	ruff format --check .

format:
	ruff check --fix .
	ruff format .

types:
	mypy

test:
	pytest -n auto --dist loadfile

# The page with the default model, served on this machine.
demo: runtime/js/node_modules/.package-lock.json
	cd runtime/js && npm run demo

# npm writes its own copy of the lock last, so an interrupted installation starts again.
# The install script of onnxruntime-node would fetch GPU libraries: they are not needed.
%/node_modules/.package-lock.json: %/package-lock.json
	cd $* && ONNXRUNTIME_NODE_INSTALL=skip npm ci --no-audit --no-fund

# Train the default model from nothing: about 70 minutes on two cores, then
# half an hour to choose the settings and as long to measure; goes on if interrupted.
pocket:
	python -m tools.research.pocket.pool
	python -m tools.research.pocket.train
	python -m tools.research.pocket.checkpoint
	python -m tools.research.pocket.evaluate search --pictures 340 --contrast on
	carve-export build/pocket/checkpoint build/pocket/bundle --layers 0-3 \
		--settings build/pocket/settings.json --overwrite
	python -m tools.research.quality --bundle build/pocket/bundle --out build/pocket/quality

# Pocket's eyes before a real language model: build it, and measure where it looks.
pocket-l:
	python -m tools.research.pocket_l

# The pages as a site, in build/docs; a broken link is an error.
site:
	rm -rf build/pages && mkdir -p build/pages
	git ls-files -z | grep -zvE '^\.github|\.onnx' | xargs -0 cp --parents -t build/pages
	mkdocs build --strict --quiet
