"""Daily notes become part of MEMORY.md: once, with the old version kept, and never by half."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from tests.knowledge.conftest import Shelf

from microclaw.errors import ModelError
from microclaw.knowledge.consolidate import Consolidator
from microclaw.models.protocol import ModelReply, ModelRequest, OnText


@dataclass
class Model:
    """Answers with its replies in order; an error among them is raised."""

    replies: list[str | Exception]
    requests: list[ModelRequest] = field(default_factory=list)
    name: str = "test-model"

    async def warm_up(self) -> None: ...

    async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        self.requests.append(request)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return ModelReply(reply)

    async def aclose(self) -> None: ...


def write_days(shelf: Shelf) -> None:
    shelf.write("memory/MEMORY.md", "# Memory\n\n- the relay is on pin 4\n")
    shelf.write(
        "memory/2026-11-18.md",
        "# 2026-11-18\n\n- 09:00 hello\n- 09:10 the relay is on pin 4\n- 10:00 decided to water below 35 %\n",
    )
    shelf.write("memory/2026-11-20.md", "# 2026-11-20\n\n- 09:00 decided to use pin 9 for the fan\n")


async def run(shelf: Shelf, model: Model | None = None) -> None:
    await Consolidator(shelf.memory, model=model or Model(["+ decided to water below 35 %"])).run(shelf.clock.now())


async def test_without_a_model_notes_stay_notes(shelf: Shelf) -> None:
    write_days(shelf)
    before = shelf.memory.text("owner")
    await Consolidator(shelf.memory).run(shelf.clock.now())
    assert shelf.memory.text("owner") == before


async def test_what_is_new_goes_below_its_own_heading(shelf: Shelf) -> None:
    write_days(shelf)
    await run(shelf)
    text = shelf.memory.text("owner")
    assert text == "# Memory\n\n- the relay is on pin 4\n\n## From daily notes\n\n- decided to water below 35 %"
    assert (shelf.home / "memory" / "2026-11-18.md").exists()


async def test_the_old_version_is_kept(shelf: Shelf) -> None:
    write_days(shelf)
    await run(shelf)
    (old,) = shelf.versions("memory/MEMORY.md")
    assert old.read_text() == "# Memory\n\n- the relay is on pin 4\n"


async def test_today_is_left_until_tomorrow(shelf: Shelf) -> None:
    write_days(shelf)
    await run(shelf)
    assert "pin 9" not in shelf.memory.text("owner")
    shelf.clock.pass_days(1)
    await run(shelf, Model(["+ decided to use pin 9 for the fan"]))
    assert shelf.memory.text("owner").endswith("- decided to water below 35 %\n- decided to use pin 9 for the fan")


async def test_nothing_new_calls_no_model(shelf: Shelf) -> None:
    model = Model(["+ waters below 35 %"])
    write_days(shelf)
    await run(shelf, model)
    await run(shelf, model)
    assert len(model.requests) == 1


async def test_a_note_that_was_edited_is_new(shelf: Shelf) -> None:
    write_days(shelf)
    await run(shelf)
    shelf.write("memory/2026-11-18.md", "# 2026-11-18\n\n- 10:00 decided to water below 30 % from now on\n")
    await run(shelf, Model(["+ decided to water below 30 % from now on"]))
    assert shelf.memory.text("owner").endswith("35 %\n- decided to water below 30 % from now on")


async def test_a_models_lines_are_applied(shelf: Shelf) -> None:
    model = Model(["+ waters when the soil is below 35 %\n- the relay is on pin 4\n+ the relay is on pin 5 now\n"])
    write_days(shelf)
    await run(shelf, model)
    text = shelf.memory.text("owner")
    assert "- the relay is on pin 5 now" in text
    assert "pin 4" not in text
    request = model.requests[0]
    assert request.task == "summary"
    assert "decided to water" in str(request.messages)
    assert "pin 9" not in str(request.messages)


@pytest.mark.parametrize(
    "reply",
    [
        ModelError("the service is down"),
        "",
        "Sure! Here is your new MEMORY.md:\n# Memory",
        "- the relay is on pin 4\n- a\n- b\n- c\n- d",
    ],
)
async def test_a_model_that_fails_leaves_all_as_it_was(
    shelf: Shelf, reply: str | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    write_days(shelf)
    facts = "".join(f"- {letter}\n" for letter in "abcd")
    before = "# Memory\n\n- the relay is on pin 4\n" + facts
    shelf.write("memory/MEMORY.md", before)
    model = Model([reply, "+ the fan is new"])
    await run(shelf, model)
    assert caplog.records
    assert (shelf.home / "memory" / "MEMORY.md").read_text() == before
    await run(shelf, model)
    assert shelf.memory.text("owner").endswith("- d\n\n## From daily notes\n\n- the fan is new")


async def test_each_person_is_consolidated_apart(shelf: Shelf) -> None:
    write_days(shelf)
    shelf.write("memory/people/guest-1/2026-11-18.md", "- my name is Ada\n")
    await run(shelf, Model(["+ waters below 35 %", "+ is called Ada"]))
    assert "below 35 %" in shelf.memory.text("owner")
    assert "Ada" in shelf.memory.text("guest-1")
    assert "Ada" not in shelf.memory.text("owner")


async def test_a_memory_that_grows_too_long_loses_its_oldest_notes_first(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microclaw.knowledge.consolidate.MAX_MEMORY_BYTES", 160)
    shelf.write("memory/MEMORY.md", "# Memory\n\n- mine, by hand\n")
    for day in range(10, 18):
        shelf.write(f"memory/2026-11-{day}.md", f"- lamp {day}\n")
    facts = "\n".join(f"+ decided to use pin {day} for lamp {day}" for day in range(10, 18))
    await run(shelf, Model([facts]))
    text = shelf.memory.text("owner")
    assert "- mine, by hand" in text
    assert "lamp 17" in text
    assert "lamp 10" not in text
