"""The JSON bodies of the HTTP API and of notifications, each as a Struct."""
