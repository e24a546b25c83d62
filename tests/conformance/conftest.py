"""The subjects' pretend endpoints and receivers that know all of them, started once for the whole suite."""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conformance.receivers import Receiver, running
from tests.conformance.subjects import SUBJECTS, TOY, importable, install_toy, pretend_endpoints


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages, with the toy provider in it."""
    folder = install_toy(tmp_path_factory.mktemp("site"))
    with importable(folder, TOY):  # no longer than this: other tests must not find the toy in the registry
        importlib.import_module("toyprovider")
        importlib.import_module("toyserver")
    return folder


@pytest.fixture(scope="session")
def endpoints(site: Path) -> Iterator[Mapping[str, str]]:
    """The URL of each subject's pretend endpoints."""
    with ExitStack() as stack:
        yield {subject.name: stack.enter_context(pretend_endpoints(subject)) for subject in SUBJECTS}


@pytest.fixture(scope="session")
def environment(endpoints: Mapping[str, str]) -> dict[str, str]:
    """The settings of all subjects."""
    return {name: value for each in SUBJECTS for name, value in each.environment(endpoints[each.name]).items()}


@pytest.fixture(scope="session")
def called(site: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """A receiver that providers call back. Those that can are not polled before a callback would be late."""
    polls = {each.poll_setting: "600" if each.calls_back else "0.2" for each in SUBJECTS}
    folder = tmp_path_factory.mktemp("called")
    with running(Receiver(folder, site, environment | polls, public=True)) as receiver:
        yield receiver


@pytest.fixture(scope="session")
def polling(site: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """A receiver that polls often, and is called back as well."""
    polls = {each.poll_setting: "0.2" for each in SUBJECTS}
    folder = tmp_path_factory.mktemp("polling")
    with running(Receiver(folder, site, environment | polls, public=True)) as receiver:
        yield receiver
