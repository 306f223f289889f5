"""What a device writes beside what the champion was trained on: which setting is wrong, and what mends it."""
