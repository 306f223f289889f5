"""The place where the online service runs: replicas of each version as processes behind HAProxy, and who keeps them."""
