"""The online service as replicas behind a proxy."""
