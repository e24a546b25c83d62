"""Renderhook's version: pyproject.toml reads it here, and `--version`, `GET /healthz` and the log show it."""

VERSION = "0.1.0"
