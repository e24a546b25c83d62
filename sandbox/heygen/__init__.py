"""A pretend HeyGen."""
