"""Doing queued work: workers, shutdown, jitter."""
