"""JSON bodies of requests: read in bounded time, with errors that name the field."""
