"""HAProxy in front of the replicas: its configuration, and orders to it while it runs."""
