"""Submitting jobs to providers, and polling them."""
