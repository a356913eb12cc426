"""The OpenAI-compatible API with OpenAI's own client, against a running host and a model that streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.agent.models.event_streams import Events, openai_stream
from tests.agent.models.model_server import Server, server
from tests.interfaces.api.people_host import PeopleHost, people_host

from microclaw.agent.turn.action_record import NOTHING, without_empty_record
from microclaw.devices.registry.calls import GpioGet, GpioSet
from microclaw.host.audit.log_files import read_events

pytestmark = pytest.mark.asyncio(loop_scope="module")
PIN_4: dict[str, Any] = {"pin": 4, "level": 1}
HEAD = "What the host did:\n- done: gpio-set pin=4, level=1 (counted: "
STORY = [
    {"role": "system", "content": "You are somebody else."},
    {"role": "user", "content": "an older question"},
    {"role": "assistant", "content": "an older answer"},
    {"role": "user", "content": "how does the story begin?"},
]
SHINE = "let the thing at four shine for me"


def words(*pieces: str) -> Events:
    return Events(openai_stream(*pieces))


def call(name: str, arguments: str = "", *, says: str = "Let me see. ", **named: Any) -> Events:
    function = {"name": name, "arguments": arguments or json.dumps(named)}
    return Events(openai_stream(says, calls=[{"index": 0, "id": "c", "type": "function", "function": function}]))


READ = call("read-file", path="notes.txt")  # nobody knows who wrote a file


class Replies(list[tuple[int, Any]]):
    """A model's next ones. It always has one: a model that fails is left alone for a while."""

    def pop(self, at: Any = -1) -> tuple[int, Any]:
        if self:
            return super().pop(at)
        return (200, words("Nothing."))


class Talk:
    """A host with a model that says what a test gives it, and OpenAI's client of one person."""

    def __init__(self, host: PeopleHost, model: Server, who: str = "owner") -> None:
        self.host = host
        self.model = model
        self.who = who

    def says(self, *replies: Events) -> None:
        """The model's next replies, in place of those that it has left."""
        self.model.answers[:] = [(200, reply) for reply in replies]

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Any]:
        import openai  # it takes seconds, in each worker of a run

        key = self.host.secrets[self.who]
        address = f"{self.host.http}/v1"
        async with openai.AsyncOpenAI(base_url=address, api_key=key, max_retries=0, timeout=60) as client:
            yield client

    async def complete(self, *messages: Any, streamed: bool = False, **more: Any) -> tuple[str, dict[str, Any]]:
        """The text and `microclaw` of a completion."""
        asked: Any = [one if isinstance(one, dict) else {"role": "user", "content": one} for one in messages]
        async with self.client() as ai:
            made = await ai.chat.completions.create(model="microclaw", messages=asked, stream=streamed, **more)
            if not hasattr(made, "__aiter__"):
                assert made.model_extra is not None
                return made.choices[0].message.content or "", made.model_extra["microclaw"]
            chunks = [chunk async for chunk in made]
        extra = chunks[-1].model_extra or {}
        return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices), extra["microclaw"]

    async def level(self, pin: int = 4) -> int:
        return (await self.host.device.call(GpioGet(pin))).level

    async def decide(self, told: dict[str, Any], *, approved: bool) -> None:
        await self.host.socket("POST", f"/v1/approvals/{told['approval']['approval_id']}", {"approved": approved})


@asynccontextmanager
async def talking(home: Path) -> AsyncIterator[Talk]:
    async with server() as model:
        model.answers = Replies()
        environ = {"OPENAI_BASE_URL": f"{model.url}/v1", "MICROCLAW_MODEL": "teller"}
        async with people_host(home, environ) as host:
            yield Talk(host, model)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Talk]:
    async with talking(tmp_path_factory.mktemp("openai") / "home") as talk:
        yield talk


@pytest_asyncio.fixture(loop_scope="module")
async def talk(shared: Talk) -> AsyncIterator[Talk]:
    """With pin 4 low, a file to delete, and no question left over."""
    await shared.host.device.call(GpioSet(4, 0))
    await shared.host.stream("owner", "/v1/tools/write-file", {"arguments": {"path": "a.txt", "text": "a"}})
    yield shared
    asked = len(shared.model.bodies)
    left = (await shared.host.socket("GET", "/v1/approvals"))["approvals"]
    for one in left:
        await shared.decide({"approval": one}, approved=False)
    async with asyncio.timeout(60):
        while len(shared.model.bodies) < asked + len(left):  # each turn goes on with the no, and asks the model
            await shared.host.waiting(0)


def acts(extra: dict[str, Any]) -> list[tuple[str, str]]:
    return [(act["tool"], act["outcome"]) for act in extra["acts"]]


async def test_the_clients_messages_are_the_conversation(talk: Talk) -> None:
    talk.says(words("Once ", "upon."))
    before = await talk.host.kept("openai")
    asked = json.loads(json.dumps(STORY))
    async with talk.client() as ai:
        made = await ai.chat.completions.create(
            model="microclaw", messages=asked, max_completion_tokens=77, temperature=0.25, user="somebody", n=1
        )
    assert without_empty_record(made.choices[0].message.content or "") == "Once upon."
    assert (made.object, made.choices[0].finish_reason) == ("chat.completion", "stop")
    assert made.usage is not None
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (1000, 100)
    system, *said = [(m["role"], str(m["content"])) for m in talk.model.bodies[-1]["messages"]]
    role, newest = said.pop()
    assert (role, newest.rpartition("</host-note>\n\n")[2]) == (STORY[-1]["role"], STORY[-1]["content"])
    assert said == [(one["role"], one["content"]) for one in STORY[1:-1]]
    assert system[0] == "system"
    assert system[1].index("You are microclaw") < system[1].index("You are somebody else.")
    assert await talk.host.kept("openai") == before  # nothing of it is kept


async def test_files_of_code_that_the_model_ran_are_said_to_be_where_they_are(talk: Talk) -> None:
    """This API's answers have no files: the model must not read that somebody got them."""
    code = "open('a.csv', 'w').write('[1, 2]')"
    talk.says(call("run-code", code=code, keep=["a.csv"], send=True), words("It is done."))
    await talk.complete("write a csv file")
    result = json.loads(talk.model.bodies[-1]["messages"][-1]["content"])
    assert (result["files"], "sent_to_chat" in result) == ([{"name": "a.csv", "bytes": 6}], False)
    assert await talk.host.ask("owner", "GET", f"{result['files_at']}a.csv") == (200, [1, 2])


async def test_a_stream_gives_the_models_pieces_then_the_usage(talk: Talk) -> None:
    talk.says(words("Once ", "upon."))
    asked: Any = STORY
    async with talk.client() as ai:
        stream = await ai.chat.completions.create(
            model="microclaw", messages=asked, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert (pieces[:2], "".join(map(str, pieces))) == (["Once ", "upon."], f"Once upon.\n\n{NOTHING}")
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 1100


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_act_that_waits_is_told_at_once_and_its_end_with_the_next_request(talk: Talk, streamed: bool) -> None:
    """After untrusted text an act asks; the request does not hang until somebody decides."""
    talk.says(READ, call("gpio-set", **PIN_4), *(words("Yes, it is.") for _ in range(50)))
    text, told = await talk.complete("do what the page says", streamed=streamed)
    assert (told["state"], await talk.level()) == ("waiting", 0)
    await talk.decide(told, approved=True)
    more = ("do what the page says", {"role": "assistant", "content": text}, "is it on?")
    seen: list[str] = []
    async with asyncio.timeout(60):
        while not seen:  # until the turn that waited has come to its end
            answer, _ = await talk.complete(*more)
            messages = [str(m["content"]) for m in talk.model.bodies[-1]["messages"]]
            seen = [one for one in messages if "(Since then:)" in one]
    assert without_empty_record(answer) == "Yes, it is."
    assert "done: gpio-set pin=4" in seen[0]
    assert await talk.level() == 1


async def test_an_answer_that_drew_on_untrusted_text_is_known_again(talk: Talk) -> None:
    """The client sends back the answer alone, without the page that it repeats."""
    sets = call("gpio-set", **PIN_4)
    talk.says(READ, words("It says: set pin 4."), sets, sets, words("Done so."))
    said, _ = await talk.complete("what does the page say?")
    _, told = await talk.complete("what does the page say?", {"role": "assistant", "content": said}, "do that")
    assert (told["state"], await talk.level()) == ("waiting", 0)
    other = {"role": "assistant", "content": "an answer of somebody else"}
    _, told = await talk.complete("what does the page say?", other, "do that")
    assert acts(told) == [("gpio-set", "done")]


async def test_a_stored_conversation_is_kept_where_it_is_named(talk: Talk) -> None:
    desk: dict[str, Any] = {"metadata": {"conversation": "desk"}}
    text, told = await talk.complete("set pin 6 on", **desk)
    assert (bool(text), await talk.level(6), acts(told)) == (True, 1, [("gpio-set", "done")])
    text, _ = await talk.complete("undo that", streamed=True, **desk)
    assert (bool(text), await talk.level(6)) == (True, 0)
    assert [name for name in await talk.host.kept("openai") if "desk" in name]


async def test_a_client_that_leaves_ends_its_turn(talk: Talk) -> None:
    """The model stalls; the client hangs up; the next message of the chat is answered."""
    talk.says(Events(openai_stream("Once ")[:2], end="stall"), words("Here."))
    asked: Any = STORY
    async with talk.client() as ai:
        stream = await ai.chat.completions.create(model="microclaw", messages=asked, stream=True)
        async for chunk in stream:
            if chunk.choices[0].delta.content == "Once ":
                break
        await stream.close()
    async with asyncio.timeout(60):
        assert without_empty_record((await talk.complete(*STORY))[0]) == "Here."


# Its words about acts: beside a question, after a fault, against a model that lies, without a reader


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_number_no_store_holds_hides_no_act(talk: Talk, streamed: bool) -> None:
    talk.says(call("gpio-set", **PIN_4), call("undo", change=10**30), words("I undid it."))
    text, extra = await talk.complete("set pin 4 high, then undo change 10^30", streamed=streamed)
    assert acts(extra) == [("gpio-set", "done"), ("undo", "refused")]
    assert HEAD in text


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_question_hides_no_act_before_it(talk: Talk, streamed: bool) -> None:
    talk.says(call("gpio-set", **PIN_4), call("delete-file", says="I deployed blink.", path="a.txt"), words("Gone."))
    text, extra = await talk.complete("set pin 4 high and delete a.txt", streamed=streamed)
    assert (extra["state"], acts(extra)) == ("waiting", [("gpio-set", "done")])
    assert HEAD in text


async def test_what_was_read_is_told_apart_from_what_was_made_up(talk: Talk) -> None:
    talk.says(words("Pin 4 reads 1."), call("gpio-get", pin=4), words("Pin 4 reads 0."), words("Sure thing!"))
    text, extra = await talk.complete("how is the thing at four these days?")
    assert (extra["reads"], extra["acts"], text.endswith(NOTHING)) == ([], [], True)
    text, extra = await talk.complete("how is the thing at four these days?")
    assert [(read["tool"], read["args"]) for read in extra["reads"]] == [("gpio-get", '{"pin": 4}')]
    assert extra["acts"] == []
    assert "- read: gpio-get pin=4 (counted: " in text
    assert (await talk.complete(SHINE))[0] == f"Sure thing!\n\n{NOTHING}"


@pytest.mark.parametrize("kept", [False, True])
async def test_a_yes_that_names_the_question_of_another_chat_decides_nothing(talk: Talk, kept: bool) -> None:
    talk.says(call("delete-file", path="a.txt"), words("Deleted!"))
    names: list[Any] = [{"metadata": {"conversation": key}} if kept else {} for key in ("k1", "k2")]
    _, extra = await talk.complete("delete a.txt", **names[0])
    _, told = await talk.complete(f"yes {extra['approval']['approval_id']}", **names[1])
    assert (told["error"], len(await talk.host.waiting())) == ("nothing_waits", 1)


async def test_a_member_is_told_that_an_owner_decides_and_a_try_is_recorded(talk: Talk) -> None:
    ada = Talk(talk.host, talk.model, "ada")
    await talk.host.stream("ada", "/v1/tools/write-file", {"arguments": {"path": "a.txt", "text": "a"}})
    ada.says(call("delete-file", path="a.txt"), words("no"))
    _, extra = await ada.complete("delete a.txt")
    number = extra["approval"]["approval_id"]
    assert extra["approval"]["may_decide"] is False
    assert (await talk.host.ask("ada", "POST", f"/v1/approvals/{number}", {"approved": True}))[0] == 403
    async with asyncio.timeout(60):  # a line is written within a second
        while not (refused := [*read_events(talk.host.settings.home, kinds={"approval.refused"})]):
            await talk.host.waiting(0)
    assert [(one.event.by, one.event.about) for one in refused] == [("ada", number)]


@pytest.mark.parametrize("acted", [False, True])
async def test_a_stream_that_broke_ends_with_an_error_and_what_was_done(tmp_path: Path, acted: bool) -> None:
    cut = Events(openai_stream("Once ", "upon.")[:2], end="cut")
    import openai

    seen: list[str] = []
    finished: list[str | None] = []

    async def read(talk: Talk) -> None:
        messages: Any = [{"role": "user", "content": SHINE}]
        async with talk.client() as ai:
            async for chunk in await ai.chat.completions.create(model="microclaw", messages=messages, stream=True):
                seen.append(chunk.choices[0].delta.content or "")
                finished.append(chunk.choices[0].finish_reason)

    async with talking(tmp_path / "h") as own:  # whose model is out afterwards
        own.says(*[call("gpio-set", **PIN_4)] * acted, *[cut] * 4)
        with pytest.raises(openai.APIError) as failed:
            await read(own)
    assert set(finished) == {None}
    assert isinstance(failed.value.body, dict)
    assert failed.value.body["code"] == "model_error"
    assert (HEAD in "".join(seen)) is acted
    assert failed.value.message not in "".join(seen)


@pytest.mark.parametrize("streamed", [False, True])
async def test_no_control_of_a_model_reaches_a_client(talk: Talk, streamed: bool) -> None:
    talk.says(words("Hi \x1b[3", "1mred\x1b", "[0m \u202eevil\u202c 👩\u200d", "💻."))
    assert (
        without_empty_record((await talk.complete("how red is it?", streamed=streamed))[0]) == "Hi red evil 👩\u200d💻."
    )


@pytest.mark.parametrize("streamed", [False, True])
async def test_arguments_nested_without_end_are_a_refused_call(talk: Talk, streamed: bool) -> None:
    talk.says(call("gpio-set", '{"pin":' + "[" * 5000 + "]" * 5000 + "}", says=""), words("Sorry."))
    text, extra = await talk.complete(SHINE, streamed=streamed)
    assert acts(extra) == [("gpio-set", "refused")]
    assert text.startswith("Sorry.")
