"""What the running system shows of itself: metrics about the project, rules and alerts, dashboards."""
