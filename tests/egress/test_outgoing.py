"""What the host itself asks: hosts of the settings may be private, no metadata address; files come from outside."""

from __future__ import annotations

import asyncio
import ipaddress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.egress.proxying import WAIT_S, Names, server

from microclaw.config.settings import McpServerSettings, SearchSettings
from microclaw.egress.outgoing import check_configured, configured_hooks, download_hooks, why_not_configured
from microclaw.errors import ToolFailed
from microclaw.flash.stock_images import download
from microclaw.mcp.client.transports import ConnectionEnd, remote_server
from microclaw.models.bounded_http import bounded_client
from microclaw.tools.search_engines import search_engine

METADATA = ["169.254.169.254", "169.254.170.2", "fe80::1", "fd00:ec2::254", "168.63.129.16", "100.100.100.200",
            "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "192.0.0.192"]  # fmt: skip


@pytest.mark.parametrize("address", METADATA)
def test_no_setting_leads_to_a_clouds_metadata(address: str) -> None:
    assert why_not_configured(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.5", "192.168.1.9", "fd00::5", "::1", "1.1.1.1", "2606:4700::1"]
)
def test_a_setting_may_lead_to_a_server_at_home(address: str) -> None:
    assert why_not_configured(ipaddress.ip_address(address)) is None


@pytest.mark.parametrize("address", METADATA)
async def test_a_name_of_the_settings_that_leads_there_is_refused(address: str) -> None:
    names = Names(model_example_com=[address])
    url = "http://model.example.com/v1"
    async with httpx2.AsyncClient(event_hooks=configured_hooks(url, names), trust_env=False) as client:
        with pytest.raises(httpx2.ConnectError, match="metadata"):
            await client.get(url)
    with pytest.raises(OSError, match="metadata"):
        await check_configured("model.example.com", 80, names)


async def test_the_address_that_answered_counts_too() -> None:
    """A name that was harmless when it was looked up, and is not when it is connected to."""

    class Stream:
        def get_extra_info(self, name: str) -> Any:
            return ("169.254.169.254", 80) if name == "server_addr" else None

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, text="keys", extensions={"network_stream": Stream()})

    hooks = configured_hooks("http://model.example.com/", Names())
    async with httpx2.AsyncClient(event_hooks=hooks, transport=httpx2.MockTransport(answer)) as client:
        with pytest.raises(httpx2.ConnectError, match="answered from"):
            await client.get("http://model.example.com/")


async def test_a_server_of_the_settings_redirects_nowhere() -> None:
    async with server() as inside:
        away = f"HTTP/1.1 302 Found\r\nLocation: http://localhost:{inside.port}/\r\nContent-Length: 0\r\n\r\n"
        async with server(away.encode()) as web:
            url = f"http://127.0.0.1:{web.port}/"
            async with bounded_client(base_url=url) as client:
                assert (await client.get(url)).status_code == 302
                with pytest.raises(httpx2.ConnectError, match="which the settings name"):
                    await client.get(url, follow_redirects=True)
        assert inside.seen == []


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]"])
async def test_neither_search_nor_mcp_leads_there(host: str) -> None:
    engine = search_engine(SearchSettings(engine="searxng", base_url=f"http://{host}"))
    with pytest.raises(ToolFailed, match="metadata"):
        await engine.search("x", 1)
    settings = McpServerSettings(name="web", url=f"http://{host}/mcp")
    said = ""
    try:
        async with asyncio.timeout(WAIT_S):
            async with remote_server(settings, None, ConnectionEnd()) as (received, send):
                from mcp.shared.message import SessionMessage
                from mcp_types import JSONRPCRequest

                await send.send(SessionMessage(JSONRPCRequest(jsonrpc="2.0", id=1, method="ping")))
                said = str(await received.receive())
    except BaseExceptionGroup as group:
        said = str(group.exceptions)
    except httpx2.ConnectError as exc:
        said = str(exc)
    assert "metadata" in said


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://localhost:1/", "without TLS"),
        ("https://10.0.0.1/", "a private network"),
        ("https://169.254.169.254/", "link-local"),
        ("https://[::1]/", "not of the public Internet"),
        ("https://localhost/", "this host itself|not of the public Internet"),
    ],
)
async def test_a_download_is_not_led_inside(location: str, why: str, tmp_path: Path) -> None:
    away = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    async with server(away.encode()) as web:
        with pytest.raises(OSError, match=why):
            await asyncio.to_thread(download, f"http://127.0.0.1:{web.port}/image.bin")


def test_a_download_may_move_on_its_own_host() -> None:
    hook = download_hooks("http://127.0.0.1:8000/a")["request"][0]
    hook(httpx2.Request("GET", "http://127.0.0.1:8000/b"))
    with pytest.raises(httpx2.ConnectError):
        hook(httpx2.Request("GET", "http://127.0.0.2:8000/b"))
