from tests.process.house import house, neighbours

__all__ = ["house", "neighbours"]
