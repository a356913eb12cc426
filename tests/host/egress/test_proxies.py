"""The way of a request: by the proxy of the settings or the environment, and never by one to a place at home."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest
from tests.agent.models.asking import request
from tests.agent.models.event_streams import Events, openai_stream
from tests.agent.models.model_server import server as model_server
from tests.host.egress.proxying import Names, Server, server
from tests.interfaces.channels.telegram_server import TOKEN, TelegramServer

from microclaw.agent.models.bounded_http import bounded_client
from microclaw.agent.models.router import choose_model
from microclaw.agent.offline.model import OfflineModel
from microclaw.errors import ModelError
from microclaw.host.config.settings import ModelChoice, ModelSettings, TelegramSettings
from microclaw.host.egress.destinations import Egress
from microclaw.host.egress.proxies import is_behind_proxy
from microclaw.interfaces.channels.telegram.api import BotApi, TelegramError, User

VARIABLES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
PUBLIC = Egress(resolve=Names(), is_public=lambda _: True)
"""Here every name is at 127.0.0.1, which counts as public."""


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def proxy() -> AsyncIterator[Server]:
    async with server() as running:
        yield running


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTP_PROXY", "http://127.0.0.1:{}"),
        ("http_proxy", "127.0.0.1:{}"),
        ("ALL_PROXY", "http://127.0.0.1:{}"),
        ("all_proxy", "socks5h://127.0.0.1:{}"),
    ],
)
async def test_a_model_and_a_bot_api_on_this_machine_are_asked_directly_whatever_the_environment_says(
    proxy: Server, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value.format(proxy.port))
    pieces: list[str] = []
    async with model_server((200, Events(openai_stream("on")))) as state, TelegramServer.running() as telegram:
        choice = ModelChoice("openai", "m", "key", f"{state.url}/v1")
        model = choose_model(ModelSettings(choice, offline_first=False), OfflineModel())
        assert (await model.respond(request(), pieces.append)).text == "on"
        await model.aclose()
        async with BotApi.opened(TelegramSettings(TOKEN, telegram.base_url)) as api:
            assert (await api.call("getMe", User)).is_bot
    assert proxy.seen == []


async def test_a_place_outside_is_asked_by_the_proxy_of_the_settings_or_the_environment_unless_no_proxy_names_it(
    proxy: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = f"http://127.0.0.1:{proxy.port}"
    async with server() as web:
        place = f"http://model.example.com:{web.port}/"

        async def is_by_proxy(setting: str | None, egress: Egress = PUBLIC) -> bool:
            before = len(proxy.seen)
            async with bounded_client(base_url=place, proxy=setting, egress=egress) as client:
                assert (await client.get(place)).text == "ok"
            return len(proxy.seen) > before

        assert not await is_by_proxy(None)
        assert not is_behind_proxy(None)
        assert await is_by_proxy(way)
        assert is_behind_proxy(way)
        monkeypatch.setenv("HTTPS_PROXY", way)
        assert not await is_by_proxy(None)
        monkeypatch.setenv("ALL_PROXY", way)
        assert await is_by_proxy(None)
        assert not await is_by_proxy(way, Egress(resolve=Names()))  # its address is one of this machine
        monkeypatch.setenv("NO_PROXY", "other.example,example.com")
        assert not await is_by_proxy(None)
        assert not await is_by_proxy(way)


@pytest.mark.parametrize("variable", VARIABLES)
def test_where_the_environment_names_a_proxy_tasks_are_behind_it(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "socks5h://127.0.0.1:9")
    assert is_behind_proxy(None)


async def test_a_socks_proxy_is_refused_in_words_that_name_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    choice = ModelChoice("openai", "m", "key", "https://api.example.com/v1")
    model = choose_model(ModelSettings(choice, offline_first=False), OfflineModel())
    with pytest.raises(ModelError, match="ALL_PROXY names a socks5h:// proxy") as refused:
        await model.respond(request())
    await model.aclose()
    assert "proxy.url" in (refused.value.next_step or "")
    async with BotApi.opened(TelegramSettings(TOKEN)) as api:
        with pytest.raises(TelegramError, match="ALL_PROXY names a socks5h:// proxy"):
            await api.call("getMe", User)
    async with bounded_client(base_url="http://model.example.com/") as client:
        with pytest.raises(httpx2.ConnectError, match="ALL_PROXY"):
            await client.get("http://model.example.com/")
