"""The HTTP client: limits of time and size, which failures certainly sent nothing, and the SSRF guard."""
