"""How often `har check-device` names the true cause: faults applied to people that its reference has not seen."""
