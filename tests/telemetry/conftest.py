"""Fixtures that are shared with the tests of the receiver."""

from tests.receiver.conftest import *  # noqa: F403 - pytest finds fixtures by their names in this module
