"""Model cards: what is known of a registered version, generated from the registry."""
