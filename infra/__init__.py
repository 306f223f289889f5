"""What runs around the project; run from its folder, not installed."""
