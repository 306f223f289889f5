"""Releases of a model version into the online service, step by step: who meets it, and what is judged.

Knows neither the proxy nor the containers: `Serving` is what it needs of them.
"""

from har.release._serving import Counts, Role, Served, Serving
from har.release._split import BUCKETS, bucket, buckets, is_served_by_canary

__all__ = ["BUCKETS", "Counts", "Role", "Served", "Serving", "bucket", "buckets", "is_served_by_canary"]
