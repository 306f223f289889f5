"""One file, one Prefect flow: retries, artifacts and events around a job of `har.jobs`."""
