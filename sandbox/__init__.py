"""A pretend fal and HeyGen on loopback, which sign, retry and misbehave like the real ones."""
