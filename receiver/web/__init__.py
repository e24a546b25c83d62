"""The web application, its server, and the limits on what it takes in."""
