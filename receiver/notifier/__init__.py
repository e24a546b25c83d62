"""Deliveries: signed, sent, retried, recorded."""
