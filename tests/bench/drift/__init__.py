"""How well drift is told from ordinary days: false alarms, power and delay, beside the usual rules."""
