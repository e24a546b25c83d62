"""The HTTP server: its listening socket, and the protocol of a connection."""
