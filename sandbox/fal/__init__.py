"""A pretend fal: queue, callbacks, keys, storage."""
