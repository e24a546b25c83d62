"""Log events and metrics, and running to completion what must not be lost."""
