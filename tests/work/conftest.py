"""Fixtures that are shared with the tests of the submitter."""

from tests.submitter.conftest import *  # noqa: F403 - pytest finds fixtures by their names in this module
