"""Daily notes become part of MEMORY.md: once, with the old version kept, and never by half."""

from __future__ import annotations

import pytest
from tests.agent.knowledge.conftest import Shelf

from microclaw.agent.knowledge.consolidate import consolidate
from microclaw.agent.models.protocol import ModelReply, ModelRequest
from microclaw.agent.models.scripted import ScriptedModel
from microclaw.errors import ModelError

BEFORE = "# Memory\n\n- the relay is on pin 4\n"
WATER = "decided to water below 35 %"


@pytest.fixture
def told(shelf: Shelf) -> Shelf:
    """With a memory, a note of the day before yesterday and one of today."""
    shelf.write("memory/MEMORY.md", BEFORE)
    shelf.write("memory/2026-11-18.md", f"# 2026-11-18\n\n- 09:10 the relay is on pin 4\n- 10:00 {WATER}\n")
    shelf.write("memory/2026-11-20.md", "# 2026-11-20\n\n- 09:00 decided to use pin 9 for the fan\n")
    return shelf


async def run(shelf: Shelf, *replies: str | Exception) -> list[ModelRequest]:
    """The requests to a model that answers so."""
    model = ScriptedModel([one if isinstance(one, Exception) else ModelReply(one) for one in replies])
    await consolidate(shelf.memory, model)
    return model.requests


async def test_what_is_new_goes_below_its_own_heading_once_and_the_old_version_is_kept(told: Shelf) -> None:
    (request,) = await run(told, f"+ {WATER}")
    assert (request.task, "pin 9" in str(request.messages)) == ("summary", False)  # today is left until tomorrow
    assert told.memory.text("owner") == f"{BEFORE}\n## From daily notes\n- {WATER}"
    (old,) = told.versions("memory/MEMORY.md")
    assert old.read_text() == BEFORE
    assert await run(told) == []
    told.clock.pass_days(1)
    told.write("memory/2026-11-18.md", "# 2026-11-18\n\n- 10:00 edited\n")
    (request,) = await run(told, "+ uses pin 9 for the fan")
    assert "pin 9" in str(request.messages)
    assert "edited" in str(request.messages)
    assert told.memory.text("owner").endswith(f"## From daily notes\n- uses pin 9 for the fan\n- {WATER}")


@pytest.mark.parametrize(
    "reply",
    [
        ModelError("the service is down"),
        "",
        "Sure! Here is your new MEMORY.md:\n# Memory",
        "- the relay is on pin 4\n- a\n- b\n- c\n- d",
    ],
)
async def test_a_model_that_fails_leaves_all_as_it_was_and_is_asked_again(
    told: Shelf, reply: str | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    before = BEFORE + "".join(f"- {letter}\n" for letter in "abcd")
    path = told.write("memory/MEMORY.md", before)
    await run(told, reply)
    assert caplog.records
    assert path.read_text() == before
    await run(told, "+ the fan is new")
    assert told.memory.text("owner").endswith("- d\n\n## From daily notes\n- the fan is new")


async def test_a_models_lines_are_applied_for_each_person_apart(told: Shelf) -> None:
    told.write("memory/people/guest-1/2026-11-18.md", "- my name is Ada\n")
    await run(told, "+ waters below 35 %\n- the relay is on pin 4\n+ the relay is on pin 5 now\n", "+ is called Ada")
    text = told.memory.text("owner")
    assert ("- the relay is on pin 5 now" in text, "pin 4" in text) == (True, False)
    assert ("Ada" in told.memory.text("guest-1"), "Ada" in text) == (True, False)
