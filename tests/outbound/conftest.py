"""Fixtures that are shared with the tests of the submitter and the receiver."""

from tests.receiver.conftest import endpoint  # noqa: F401 - pytest finds fixtures by their names in this module
from tests.submitter.conftest import *  # noqa: F403 - likewise
