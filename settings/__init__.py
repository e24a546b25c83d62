"""Settings: how the text of an environment variable becomes a value."""
