"""The demo: a real receiver against pretend providers, on loopback."""
