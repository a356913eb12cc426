"""The model that the settings give, and who answers what: tasks, offline sentences first."""

from __future__ import annotations

import subprocess
import sys

import pytest
from msgspec.structs import replace
from tests.models.asking import TOOLS
from tests.models.event_streams import Events, openai_stream
from tests.models.model_server import openai_reply, server

from microclaw.config.settings import ModelChoice, ModelSettings, ModelTask
from microclaw.errors import ModelError
from microclaw.models.breaker import Breaker
from microclaw.models.protocol import (
    AssistantReply,
    DeviceContext,
    Image,
    KnownApp,
    KnownDevice,
    Message,
    Model,
    ModelReply,
    ModelRequest,
    OnText,
    ToolCall,
    ToolReturn,
    UserText,
)
from microclaw.models.router import Chain, Router, choose_model
from microclaw.models.scripted import ScriptedModel, say
from microclaw.offline.last_act import DialogueState
from microclaw.offline.model import OfflineModel
from microclaw.offline.parse import Parse, Question


def asked(*messages: Message, device_context: DeviceContext, task: ModelTask = "chat") -> ModelRequest:
    return ModelRequest("you are microclaw", messages, TOOLS, device_context=device_context, task=task)


def chain(model: Model) -> Chain:
    return ((model, Breaker(lambda: 0.0)),)


@pytest.fixture
def busy(device_context: DeviceContext) -> DeviceContext:
    """One board on which blink runs."""
    device = KnownDevice("virtual-1", device_context.devices[0].board, (KnownApp("blink", (2,)),))
    return DeviceContext((device,), device)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (ModelSettings(), "offline"),
        (ModelSettings(ModelChoice("anthropic", api_key="a")), "claude-sonnet-5-5"),
        (ModelSettings(ModelChoice("openai", api_key="b")), "gpt-6.1-terra"),
        (ModelSettings(ModelChoice("openai", base_url="http://x/v1")), "the server's model"),
        (ModelSettings(ModelChoice("openai", "qwen3", base_url="http://me:secret@x/v1")), "qwen3"),
    ],
)
async def test_the_settings_choose_the_model(settings: ModelSettings, name: str) -> None:
    model = choose_model(settings, OfflineModel())
    assert model.name == name
    await model.aclose()


def test_choosing_imports_no_library_of_a_provider() -> None:
    code = (
        "import sys; from microclaw.config.settings import *; from microclaw.models.router import choose_model; "
        "from microclaw.offline.model import OfflineModel; "
        "spare = (ModelChoice('anthropic', 'x', 'y'), ModelChoice('openai', 'x', 'y')); "
        "choose_model(ModelSettings(spare[0], spare), OfflineModel(), proxy='http://p:1'); "
        "print([m for m in ('pydantic_ai', 'anthropic', 'openai', 'httpx2', 'hassil') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


async def test_a_task_has_its_own_model_and_the_same_fallbacks() -> None:
    async with server((200, openai_reply("chat"))) as main, server((500, {}), (200, openai_reply("short"))) as small:
        settings = ModelSettings(
            ModelChoice("openai", "main", base_url=f"{main.url}/v1"),
            tasks={"summary": ModelChoice("openai", "small", base_url=f"{small.url}/v1")},
            fallbacks=(ModelChoice("openai", "spare", base_url=f"{small.url}/v1"),),
        )
        model = choose_model(settings, OfflineModel())
        hello = ModelRequest("", (UserText("tell me of love"),), ())
        assert (await model.respond(hello)).text == "chat"
        reply = await model.respond(ModelRequest("", (UserText("sum up"),), (), task="summary"))
        assert (reply.text, reply.model) == ("short", "spare")
        assert [b["model"] for b in small.bodies] == ["small", "spare"]
        await model.aclose()


async def test_a_model_named_twice_is_one_model_with_one_breaker() -> None:
    async with server((401, {})) as only:
        choice = ModelChoice("openai", "m", "k", f"{only.url}/v1")
        model = choose_model(ModelSettings(choice, tasks={"summary": choice}), OfflineModel())
        for task in ("chat", "summary"):
            with pytest.raises(ModelError):
                await model.respond(ModelRequest("", (UserText("tell me of love"),), (), task=task))
        assert len(only.paths) == 1
        await model.aclose()


async def test_a_sure_sentence_asks_no_server_unless_that_is_switched_off(device_context: DeviceContext) -> None:
    async with server((200, Events(openai_stream("hello"))), (200, openai_reply("summary"))) as s:
        choice, seen = ModelChoice("openai", "m", base_url=f"{s.url}/v1"), list[str]()
        said = asked(UserText("set pin 4 on"), device_context=device_context)
        first = choose_model(ModelSettings(choice), OfflineModel())
        reply = await first.respond(said)
        assert (reply.calls[0].name, reply.model, s.paths) == ("gpio-set", "offline", [])
        second = choose_model(ModelSettings(choice, offline_first=False), OfflineModel())
        assert (await second.respond(said, seen.append)).text == "hello"
        assert seen == ["hello"]
        assert (await first.respond(replace(said, task="summary"))).text == "summary"  # only chats are answered offline
        await first.aclose()
        await second.aclose()


SURE = ["set pin 4 on", "turn off pin 4", "blink the led every second", "what is the temperature?", "list devices",
        "which pins are free", "undo that", "stop blink", "is the blinker still running?", "what is running",
        "restart the board"]  # fmt: skip
UNSURE = ["turn on the garden light",  # which pin? it would ask back
          "set pin 99 high", "do not blink the led", "who won the football match yesterday", "what can you do",
          "thanks", "stop the music",  # no program of that name
          "erase the flash", "flash the board", "", "x" * 5000]  # fmt: skip


@pytest.mark.parametrize(("text", "sure"), [*((one, True) for one in SURE), *((one, False) for one in UNSURE)])
def test_only_whole_sentences_that_the_templates_would_do_are_sure(text: str, sure: bool, busy: DeviceContext) -> None:
    assert OfflineModel().is_sure(asked(UserText(text), device_context=busy)) is sure


ASKS = DialogueState(Question("confirmed", Parse("remove_all"), "stop everything")).to_json()


@pytest.mark.parametrize(
    ("before", "said", "sure"),
    [
        ((), UserText("set pin 4 on", (Image("image/png", b"x"),)), False),  # a picture is for a model
        ((UserText("switch the relay"), AssistantReply("Shall I do it now?")), UserText("set pin 4 on"), False),
        ((UserText("hi"), AssistantReply("Hello.")), UserText("set pin 4 on"), True),
        ((UserText("what is in the oven"), AssistantReply("A cake.")), UserText("is it hot"), False),
        ((), UserText("is it hot"), True),
        ((UserText("turn on the garden light"), AssistantReply("Which pin is it on.")), UserText("pin 4"), False),
        (
            (UserText("stop everything"), AssistantReply("That removes blink.", question=ASKS)),
            UserText("yes"),
            True,  # to the templates' own question
        ),
        ((), UserText("yes"), False),
        (
            (
                UserText("blink the led"),
                AssistantReply("", (ToolCall("toolu_1", "gpio-set", '{"pin": 4, "level": 1}'),)),
                ToolReturn("toolu_1", "gpio-set", '{"device": "virtual-1", "pin": 4}'),
            ),
            UserText("set pin 4 on"),
            False,  # of a turn that a model began
        ),
    ],
)
def test_what_belongs_to_a_models_conversation_is_for_the_model(
    busy: DeviceContext, before: tuple[Message, ...], said: UserText, sure: bool
) -> None:
    assert OfflineModel().is_sure(asked(*before, said, device_context=busy)) is sure


def tool_use(call_id: str) -> tuple[Message, ...]:
    call = ToolCall(call_id, "gpio-set", '{"pin": 4, "level": 1}')
    return (AssistantReply("", (call,)), ToolReturn(call_id, "gpio-set", '{"device": "virtual-1", "pin": 4}'))


async def test_a_turn_that_began_offline_ends_there(device_context: DeviceContext) -> None:
    model = Router(chain(ScriptedModel([])), offline=OfflineModel())
    first = await model.respond(asked(UserText("set pin 4 on"), device_context=device_context))
    more = (AssistantReply("", first.calls), ToolReturn(first.calls[0].call_id, "gpio-set", '{"device": "virtual-1"}'))
    last = await model.respond(asked(UserText("set pin 4 on"), *more, device_context=device_context))
    assert last.model == "offline"


async def test_a_turn_that_a_model_began_ends_with_it(device_context: DeviceContext) -> None:
    scripted = ScriptedModel([say("done")])
    model = Router(chain(scripted), offline=OfflineModel())
    reply = await model.respond(asked(UserText("set pin 4 on"), *tool_use("toolu_1"), device_context=device_context))
    assert (reply.text, reply.model) == ("done", "scripted")


async def test_the_router_names_who_answered_and_closes_each_model_once() -> None:
    closed: list[str] = []

    class Closing(ScriptedModel):
        def __init__(self, name: str, *replies: ModelReply) -> None:
            super().__init__(replies)
            self.name = name

        async def aclose(self) -> None:
            closed.append(self.name)

        async def respond(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
            return await super().respond(request, on_text)

    small = Closing("small", say("short"))
    router = Router(chain(Closing("main", say("hi"))), {"summary": chain(small), "heartbeat": chain(small)})
    assert (await router.respond(ModelRequest("", (), ()))).model == "main"
    assert (await router.respond(ModelRequest("", (), (), task="summary"))).model == "small"
    assert router.name == "main"
    await router.aclose()
    assert closed == ["main", "small"]
