"""Log lines: how they are written, how often, and by whom."""
