"""What comes in, and who is told: fal's callbacks, the API, the notifier, the process itself."""
