"""Providers: the names that jobs and receipts may have."""

from collections.abc import Collection

from ledger.storage.transaction import Call, Transaction


def put_providers(names: Collection[str]) -> Transaction[None]:
    """Register providers. Those that are not named stay registered."""
    steps = tuple(Call("insert_provider", {"name": name}) for name in sorted(names))
    return Transaction(steps=steps, values={}, read=lambda _: None)
