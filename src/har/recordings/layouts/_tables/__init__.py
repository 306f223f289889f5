"""Read any table block by block: its text, columns, stamps, and the two sensors of files apart."""
