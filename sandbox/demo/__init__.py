"""The demo: a real receiver against simulated providers on loopback."""
