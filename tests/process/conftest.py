from tests.process.deployment import deployment, services

__all__ = ["deployment", "services"]
