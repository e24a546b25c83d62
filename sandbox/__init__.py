"""Simulated fal and HeyGen on loopback: they sign, retry and fail as the real ones do."""
