# The benchmarks' targets; the Makefile includes them.
.PHONY: bench bench-drift bench-data bench-release bench-stream bench-labels bench-scale bench-import bench-quality \
	bench-devices

bench: setup  ## measure scoring, windowing, latency and the online service; writes reports/bench.json
	@$(BIN)/python -m tests.bench

bench-drift: setup  ## measure false alarms, power and delay of drift alarms; writes reports/drift-bench.json
	@$(BIN)/python -m tests.bench.drift

bench-data: setup  ## measure snapshots of 300 days by 20 subjects; writes reports/snapshot-bench.json
	@$(BIN)/python -m tests.bench.snapshot

bench-release: setup  ## measure how often and how soon the judge of a release errs; writes reports/release-bench.json
	@$(BIN)/python -m tests.bench.release

bench-labels: setup  ## measure what labels are worth in the order of har labels; writes reports/labels-bench.json
	@$(BIN)/python -m tests.bench.labels

bench-devices: setup  ## measure how often har check-device names the true cause; writes reports/device-bench.json
	@$(BIN)/python -m tests.bench.devices

bench-stream: setup  ## measure the stream beside the broker alone, offline scoring and quixstreams; writes reports/stream-bench.json
	@$(BIN)/python -m tests.bench.stream

bench-scale: setup  ## measure how costs grow with days and workers; writes reports/scale-bench.json
	@$(BIN)/python -m tests.bench.scale

bench-import: setup  ## measure the import of a week of .cwa, and of .gt3x and .bin, beside actfast alone; writes reports/import-bench.json
	@$(BIN)/python -m tests.bench.importing

bench-quality: setup  ## measure the default network beside its peers, on the same folds; writes reports/quality.json and .html
	@$(BIN)/python -m tests.bench.quality
