"""The stack of one machine: `make up`."""
