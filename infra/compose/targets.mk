.PHONY: stack stack-down stack-status stack-logs stack-images

stack: setup  ## start the whole system in containers: databases, worker, pages, services; prints where they are
	@$(BIN)/python -m infra.compose up $(foreach profile,$(PROFILES),--profile $(profile))

stack-down: setup  ## stop it; all data stay
	@$(BIN)/python -m infra.compose down

stack-status: setup  ## show its parts, and whether they are healthy
	@$(BIN)/python -m infra.compose status

stack-logs: setup  ## show what its parts wrote (SERVICE=worker for one)
	@$(BIN)/python -m infra.compose logs $(SERVICE)

stack-images: setup  ## build the images of the packaged champion, and let them serve
	@$(BIN)/python -m infra.compose images $(if $(BASE),--base $(BASE))
