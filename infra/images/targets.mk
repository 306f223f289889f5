# Container images; the Makefile includes this. ENGINE=podman, BASE=…, PREFIX=registry/team, TORCH=cu130, IMAGE_NETWORK=host.
.PHONY: images image-train image-online image-batch images-check sbom

# TORCH chooses the build in the image; `setup`, which comes first, must leave the one in .venv as it is.
IMAGE_TORCH := $(TORCH)
images image-train: override export TORCH :=

images: setup  ## build the train, online and batch image (ENGINE=, BASE=, PREFIX=, TORCH=)
	@TORCH=$(IMAGE_TORCH) $(BIN)/python -m infra.images

image-train: setup  ## build the train image
	@TORCH=$(IMAGE_TORCH) $(BIN)/python -m infra.images train

image-online: setup  ## build the online image of the packaged champion
	@$(BIN)/python -m infra.images online

image-batch: setup  ## build the batch image of the packaged champion
	@$(BIN)/python -m infra.images batch

images-check: setup  ## try the built images in containers: read-only, without rights, against the model's own answers
	@$(BIN)/python -m infra.images.check

sbom: setup  ## list what is in the built images (CycloneDX), and count known vulnerabilities
	@$(BIN)/python -m infra.images.sbom
