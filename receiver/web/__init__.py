"""The web application, its server, and limits on requests."""
