"""The whole system in containers: `make stack`, or `python -m infra.compose`."""
