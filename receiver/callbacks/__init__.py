"""Callbacks from providers: verified, recorded, then answered."""
