# The steps of the two delivery workflows, in their order; each can be run by hand. docs/how-to/delivery.md describes them.
#
# Both pipelines run tests, and none twice: `test-online` has the folders of ONLINE_TESTS, `test-offline` all others. A
# project with the smoke test alone runs it in both. TESTS names other tests: make test-offline TESTS=tests/lake
ONLINE_TESTS := $(wildcard tests/bentos tests/inference)
WITHOUT_ONLINE := $(if $(ONLINE_TESTS),$(addprefix --ignore=,$(ONLINE_TESTS)))
PYTEST := $(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder -m "not release"

.PHONY: unchanged test-offline test-online

unchanged:  ## fail if a step changed a tracked file
	@git diff --exit-code

test-offline: setup  ## run the tests but those of the services
	@$(PYTEST) $(or $(TESTS),$(WITHOUT_ONLINE))

test-online: setup  ## run the tests of the services
	@$(PYTEST) $(or $(TESTS),$(ONLINE_TESTS))

# ---- The offline pipeline

.PHONY: data-contract train-smoke metric-difference comment train-image train-image-test
.PHONY: deliver-data deliver-train deliver-evaluate deliver-gate deliver-schedules deliver-report

data-contract: setup  ## check a sample of the inbox against the data contract (FILES=20 SEED=0)
	@$(BIN)/python -m infra.delivery.offline.data_contract

train-smoke: setup  ## a small training on the embedded sample; figures in build/delivery/train-smoke.json
	@$(BIN)/python -m infra.delivery.offline.train_smoke

metric-difference: setup  ## this code's figures beside those of another commit (BASE=origin/main), as Markdown
	@$(BIN)/python -m infra.delivery.offline.difference

comment: setup  ## put the difference on the pull request; without a token, say where the file is
	@$(BIN)/python -m infra.delivery.offline.comment

train-image: setup  ## build the train image, where there is a container engine (ENGINE=none: not)
	@$(BIN)/python -m infra.delivery.offline.train_image

train-image-test: setup  ## run the smoke tests inside the train image, where there is a container engine
	@$(BIN)/python -m infra.delivery.offline.train_image --test

deliver-data: setup  ## fetch the recordings of this commit (dvc pull) and ingest the inbox
	@$(BIN)/python -m infra.delivery.offline.data

# Without a snapshot of its own: the commit would be in no branch but the runner's, and lost with the next checkout.
deliver-train: setup  ## train a challenger and register it; the gate decides whether it serves
	@HAR_SNAPSHOTS__BEFORE_TRAINING=false $(BIN)/har train

deliver-evaluate: setup  ## cross-validate by subject on the lake
	@$(BIN)/har evaluate

deliver-gate: setup  ## what the gate decided about the newest version, as Markdown; fails if it decided nothing
	@$(BIN)/python -m infra.delivery.offline.gate

deliver-schedules: setup  ## deploy the schedules of prefect.yaml to the server of PREFECT_API_URL
	@$(BIN)/python -m infra.delivery.offline.schedules

deliver-report: setup  ## collect the pages about models, without those about people, for publishing
	@$(BIN)/python -m infra.delivery.offline.report

# ---- The online pipeline

.PHONY: contract contract-release candidate candidate-sample service-image service-sbom service-scan
.PHONY: staging site release rollback smoke

# Where a release goes: SITE=stack is the stack in containers; by default, the service that `make up` runs in this folder.
RELEASE := $(if $(filter stack,$(SITE)),--stack) $(if $(ADDRESS),--address $(ADDRESS))

contract: setup  ## compare the services' APIs with those of the last release; a break needs a version that says so
	@$(BIN)/python -m infra.delivery.online.contract

contract-release: setup  ## record the services' APIs as those of a release; commit delivery/contracts with it
	@$(BIN)/python -m infra.delivery.online.contract --release

candidate: setup  ## package what is to be released, beside what is served (VERSION=12; by default the champion)
	@$(BIN)/python -m infra.delivery.online.candidate $(if $(filter stack,$(SITE)),--stack,$(VERSION))

candidate-sample: setup  ## package a small model of the embedded recordings, to try the next steps
	@$(BIN)/python -m infra.delivery.online.candidate --sample

service-image: setup  ## build the candidate's online image, where there is a container engine
	@$(BIN)/python -m infra.delivery.online.service_image

service-sbom: setup  ## list the packages of both services (CycloneDX) in build/delivery
	@$(BIN)/python -m infra.delivery.online.sbom

service-scan: setup  ## look every one of them up in a database of vulnerabilities (SBOM=FILE for others)
	@$(BIN)/python -m infra.delivery.online.scan $(or $(SBOM),build/delivery/online.cdx.json build/delivery/batch.cdx.json)

staging: setup  ## serve the candidate apart, in its image if there is one, and ask it what it must know
	@$(BIN)/python -m infra.delivery.online.staging

site: setup  ## run the online service of this folder alone; make up runs it with everything else (PORT=3000)
	@$(BIN)/python -m infra.delivery.online.site --port $(or $(PORT),3000)

release: setup  ## release the candidate through the gate, or take it back (WHY="…", SITE=stack, ADDRESS=…)
	@$(BIN)/python -m infra.delivery.online.release $(RELEASE)

rollback: setup  ## let what served before serve again, at once (WHY="…", SITE=stack, ADDRESS=…)
	@$(BIN)/python -m infra.delivery.online.release --back $(RELEASE)

smoke: setup  ## ask a running service what the candidate must know (ADDRESS=…)
	@$(BIN)/python -m infra.delivery.online.smoke --candidate $(or $(ADDRESS),http://127.0.0.1:3000)
