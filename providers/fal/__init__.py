"""fal: requests to its queue, their responses, and its signed callbacks."""
