"""The host's own requests: hosts of the settings may be private, no metadata address; files come from outside.

One look-up a connection, and TLS for the name: test_fetching.py, by the same door.
"""

from __future__ import annotations

import asyncio

import httpx2
import pytest
from tests.host.egress.proxying import Names, server

from microclaw.agent.models.bounded_http import bounded_client
from microclaw.devices.flash.images import download
from microclaw.host.egress.destinations import Egress, Purpose
from microclaw.host.egress.http_door import http_client
from microclaw.host.egress.outgoing import connect


async def test_a_name_of_the_settings_that_leads_to_metadata_is_refused_and_so_is_the_environments_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    egress = Egress(resolve=lambda *_: ["169.254.169.254"])
    with pytest.raises(OSError, match="metadata"):
        await connect(Purpose.CONFIGURED, "model.example.com", 80, egress)
    monkeypatch.setenv("https_proxy", "http://169.254.169.254:3128")
    for url, by in (("http://model.example.com/v1", egress), ("https://1.1.1.1/v1", Egress())):
        async with bounded_client(base_url=url, egress=by) as client:
            with pytest.raises(httpx2.ConnectError, match="metadata"):
                await client.get(url)


async def test_by_a_proxy_the_target_is_judged_as_far_as_it_is_known() -> None:
    async with server() as proxy:
        way = f"http://127.0.0.1:{proxy.port}"
        egress = Egress(resolve=Names(model_example_com=["169.254.169.254"]))
        for url in ("http://model.example.com/v1", "http://169.254.169.254/v1"):
            async with bounded_client(base_url=url, proxy=way, egress=egress) as client:
                with pytest.raises(httpx2.ConnectError, match="metadata"):
                    await client.get(url)
        assert proxy.seen == []

        def unknown(host: str, port: int) -> list[str]:
            raise OSError("no such name here")

        async with bounded_client(
            base_url="http://model.example.com/v1", proxy=way, egress=Egress(resolve=unknown)
        ) as client:
            assert (await client.get("http://model.example.com/v1")).text == "ok"


async def test_a_client_of_the_settings_asks_exactly_that_place() -> None:
    places = (
        "http://other.example/",
        "http://model.example:81/",
        "https://model.example/",
        "http://model.example.evil/",
    )
    async with bounded_client(base_url="http://model.example/v1", egress=Egress(resolve=Names())) as client:
        for place in places:
            with pytest.raises(httpx2.ConnectError, match="which the settings name"):
                await client.get(place)


async def test_a_download_is_not_led_inside_and_moves_in_its_own_place_alone() -> None:
    for location, why in (("http://localhost:1/", "without TLS"), ("https://10.0.0.1/", "not public")):
        away = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        async with server(away.encode()) as web:
            with pytest.raises(OSError, match=why):
                await asyncio.to_thread(download, f"http://127.0.0.1:{web.port}/image.bin")
    egress = Egress(resolve=lambda *_: ["127.0.0.1"], own=tuple)
    async with http_client(Purpose.DOWNLOAD, "https://hub.example/a", egress=egress) as client:
        for url, refused in (
            ("https://hub.example:1/b", "hub.example is at 127.0.0.1, which is not public"),
            ("https://files.example/a", "files.example is at 127.0.0.1, which is not public"),
            ("http://hub.example/a", "without TLS"),
            ("http://files.example/a", "without TLS"),
            ("https://hub.example/b", "Connect call failed"),
        ):
            with pytest.raises(httpx2.ConnectError, match=refused):
                await client.get(url)
