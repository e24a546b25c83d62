"""HeyGen: requests to its workflow API and their responses."""
