"""Settings: declared once each, read from the environment into frozen Structs."""
