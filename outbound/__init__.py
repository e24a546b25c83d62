"""The HTTP client: time and size limits, which failures certainly sent nothing, and the SSRF guard."""
