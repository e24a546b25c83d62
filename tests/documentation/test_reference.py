"""The reference names every state, event, result, statement and command, and nothing that does not exist."""

import re

import click
import pytest

from ledger.records import JobState, RecordResult
from ledger.storage.migrations import migrations
from ledger.storage.statements import statements
from providers.fal.inputs import INPUTS as FAL_INPUTS
from providers.heygen.inputs import INPUTS as HEYGEN_INPUTS
from renderhook.cli import main
from sandbox.faults import FAULTS
from tests.documentation.pages import PAGES, page

STATES, API, MODELS, COMMANDS = (f"docs/reference/{name}.md" for name in ("states", "api", "models", "commands"))


def event_types() -> list[str]:
    """Every event of a job that the schema accepts."""
    text = "".join(migration.text for migration in migrations())
    return sorted(set(re.findall(r"'(job\.[a-z]+)'", text)))


def arrows() -> list[str]:
    """The labels of the arrows in the diagrams of states."""
    return re.findall(r"^\s+\S+ --> \S+: (\w+)$", page(STATES), re.MULTILINE)


def test_the_schema_has_events_of_jobs() -> None:
    assert {"job.accepted", "job.completed"} <= set(event_types())


@pytest.mark.parametrize("name", [STATES, API])
@pytest.mark.parametrize("event", event_types())
def test_every_event_of_a_job_is_documented(name: str, event: str) -> None:
    assert f"`{event}`" in page(name)


@pytest.mark.parametrize("state", [*JobState, "pending", "delivered", "dead", "discarded"])
def test_every_state_has_a_row(state: str) -> None:
    assert f"\n| `{state}` |" in page(STATES)


@pytest.mark.parametrize("result", list(RecordResult))
def test_every_result_of_a_report_has_a_row(result: str) -> None:
    assert f"\n| `{result}` |" in page(STATES)


def test_every_arrow_of_the_diagrams_is_a_statement() -> None:
    assert arrows()
    assert set(arrows()) - set(statements()) == set()


def test_every_statement_that_changes_a_state_is_an_arrow_of_the_diagrams() -> None:
    changing = {
        name
        for name, statement in statements().items()
        if re.search(r"INSERT INTO (jobs|deliveries)\b|UPDATE (jobs|deliveries)\s+SET state", statement.text)
    }
    assert changing - set(arrows()) == set()


@pytest.mark.parametrize(("model", "kind"), [*FAL_INPUTS.items(), *HEYGEN_INPUTS.items()])
def test_every_checked_model_is_documented_with_its_inputs(model: str, kind: type) -> None:
    text = page(MODELS)
    assert f"`{model}`" in text
    assert [field for field in kind.__struct_fields__ if f"`{field}`" not in text] == []  # type: ignore[attr-defined]


def test_every_command_is_documented() -> None:
    with click.Context(main) as context:
        commands = main.list_commands(context)
    rows = "\n".join(re.findall(r"^\| (`.*?) \|", page(COMMANDS), re.MULTILINE))
    assert [name for name in commands if not re.search(rf"`{name}[` ]", rows)] == []


def test_every_fault_that_a_page_requests_exists() -> None:
    requested = [name for path in PAGES for name in re.findall(r"#fault=([\w,=.-]+)", page(path))]
    named = {fault.partition("=")[0] for each in requested for fault in each.split(",")}
    assert "duplicate" in named
    assert named - set(FAULTS) == set()
