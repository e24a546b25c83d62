"""Simulated HeyGen."""
