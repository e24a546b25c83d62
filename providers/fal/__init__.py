"""What fal says: requests to its queue, the answers read, and its signed callbacks verified."""
