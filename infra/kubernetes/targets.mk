# Manifests for Kubernetes; docs/how-to/kubernetes.md describes them. STAGE=staging or production.
.PHONY: kubernetes kubernetes-scan

kubernetes: setup  ## write the manifests of a stage with the project's images: build/kubernetes/STAGE (STAGE=staging)
	@$(BIN)/python -m infra.kubernetes write $(or $(STAGE),staging)

kubernetes-scan: setup  ## look for insecure settings in the manifests, by checkov in an environment of its own
	@infra/kubernetes/scan.sh
