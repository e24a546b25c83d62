"""Simulated fal: queue, callbacks, keys, storage."""
