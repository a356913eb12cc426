"""The libraries that programs know from MicroPython: in every form of import, and as CPython's do the same."""

from __future__ import annotations

import asyncio
import importlib.util
import urllib.error
import urllib.parse
import urllib.request
from types import ModuleType
from typing import Any, Final

import pytest
from tests.programs.py.conftest import Build

from microclaw.errors import BuildError
from microclaw.programs.py.drivers import driver_file
from microclaw.programs.py.source_files import join_files

CLIENT: Final = 'client = MQTTClient("lamp", "broker.example.org")\nclient.connect()\nclient.publish(b"a", b"b")\n'


def library(name: str) -> ModuleType:
    """The module as CPython runs it."""
    file = driver_file(name)
    assert file is not None
    spec = importlib.util.spec_from_file_location(f"library_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "source",
    [
        f"from umqtt.simple import MQTTClient\n{CLIENT}",
        f"from umqtt.robust import MQTTClient\n{CLIENT}",
        f"from umqtt import simple\n{CLIENT.replace('MQTTClient', 'simple.MQTTClient')}",
        f"import umqtt.simple\n{CLIENT.replace('MQTTClient', 'umqtt.simple.MQTTClient')}",
        f"from umqttsimple import MQTTClient\n{CLIENT}",
        f"import umqtt.simple as mqtt\n{CLIENT.replace('MQTTClient', 'mqtt.MQTTClient')}",
    ],
)
async def test_a_library_is_in_the_program_in_every_form_of_import(source: str, build_py: Build) -> None:
    image = await build_py(source)
    assert image.warnings == ()
    assert "await client.connect()" in image.rewritten


@pytest.mark.parametrize("name", ["requests", "urequests"])
async def test_a_request_is_awaited_and_what_nothing_uses_stays_out(name: str, build_py: Build) -> None:
    image = await build_py(f'import {name}\nprint({name}.get("http://example.org/").json())\n')
    assert "(await get('http://example.org/')).json()" in image.rewritten
    assert "delete" not in image.rewritten
    assert image.size_bytes < 3650


async def test_a_library_of_the_programs_own_takes_the_place_of_ours(build_py: Build) -> None:
    files = {"umqtt/simple.py": "class MQTTClient:\n    def __init__(self, name, server):\n        print(name)\n"}
    source = join_files("app.py", 'from umqtt.simple import MQTTClient\nMQTTClient("lamp", "here")\n', files)
    image = await build_py(source)
    assert "socket" not in image.rewritten


async def test_the_callback_of_a_library_may_wait(build_py: Build) -> None:
    source = "import time\ndef heard(topic, message):\n    time.sleep(1)\n"
    setup = 'client.set_callback(heard)\nclient.subscribe(b"a")\nclient.wait_msg()\n'
    image = await build_py(f"from umqtt.simple import MQTTClient\n{source}{CLIENT}{setup}")
    assert "await E.aw(self.cb(topic" in image.rewritten


async def test_variables_of_a_library_may_be_set_and_nothing_else(build_py: Build) -> None:
    image = await build_py(
        "import ntptime\nntptime.host = 'ntp.example.org'\nntptime.settime()\nprint(ntptime.time())\n"
    )
    assert image.warnings == ()
    with pytest.raises(BuildError) as caught:
        await build_py("import ntptime\nntptime.settime = print\n")
    assert caught.value.diagnostics[0].message == "a program cannot change ntptime.settime"


async def test_a_package_without_its_library_says_which_import_is_missing(build_py: Build) -> None:
    with pytest.raises(BuildError) as caught:
        await build_py('import umqtt\numqtt.simple.MQTTClient("a", "b")\n')
    assert caught.value.diagnostics[0].hint == "import umqtt.simple"


@pytest.mark.parametrize("name", ["esp.osdebug(None)", "esp.osdebug(0, 1)", "print(esp.flash_size(), esp.flash_id())"])
async def test_esp_has_what_tutorials_call(name: str, build_py: Build) -> None:
    assert (await build_py(f"import esp\n{name}\n")).warnings == ()


async def test_esp_drives_lights_as_an_esp8266_does(build_py: Build) -> None:
    source = "import esp\nfrom machine import Pin\nesp.neopixel_write(Pin(13, Pin.OUT), bytearray(9), True)\n"
    assert (await build_py(source)).driven == (13,)


async def test_tasks_ask_a_server_with_aiohttp(build_py: Build) -> None:
    source = """import aiohttp
import asyncio
async def main():
    async with aiohttp.ClientSession() as session:
        async with session.get("http://example.org/") as response:
            print(response.status, await response.text())
asyncio.run(main())
"""
    image = await build_py(source)
    assert image.warnings == ()
    assert image.size_bytes < 4650


@pytest.mark.parametrize(
    "target",
    ["/a", "b", "http://other.example.org/c", "//other.example.org/d", "e?f=1", "g/h"],
)
def test_a_redirect_leads_where_it_leads_in_cpython(target: str) -> None:
    url = "http://example.org:8000/one/two?three=4"
    assert library("requests")._absolute(url, target) == urllib.parse.urljoin(url, target)


def test_a_form_is_quoted_as_in_cpython() -> None:
    values = {"a b": "ä&=", "c": "1+1", "d": "~-._"}
    assert urllib.parse.parse_qs(library("requests").form(values)) == {key: [value] for key, value in values.items()}


def test_what_a_browser_sends_is_read_as_in_cpython() -> None:
    web = library("microclaw.web")
    for text in ("a=1&b=%C3%A4+%26", "empty=&x", "percent=%zz%"):
        expected = urllib.parse.parse_qs(text, keep_blank_values=True)
        assert web._pairs(text) == {name: values[-1] for name, values in expected.items()}


def _page(url: str, form: dict[str, str] | None = None) -> tuple[int, str, str]:
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    try:
        with urllib.request.urlopen(url, data, timeout=60) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.headers["Content-Type"], exc.read().decode()


async def test_routes_answer_a_browser() -> None:
    web = library("microclaw.web")
    app = web.App()

    @app.route("/")  # type: ignore[untyped-decorator]
    def index(request: Any) -> str:
        return "<h1>Lamp</h1>"

    @app.route("/led/<state>")  # type: ignore[untyped-decorator]
    async def led(request: Any, state: str) -> dict[str, str]:
        return {"led": state, "by": request.args.get("by", "")}

    @app.post("/set/<int:level>")  # type: ignore[untyped-decorator]
    def level(request: Any, level: int) -> tuple[str, int]:
        return f"{request.form['name']} {level + 1}", 201

    server = await asyncio.start_server(app._serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        pages = [
            await asyncio.to_thread(_page, f"{address}/"),
            await asyncio.to_thread(_page, f"{address}/led/on?by=a%20hand"),
            await asyncio.to_thread(_page, f"{address}/set/41", {"name": "dim & low"}),
            await asyncio.to_thread(_page, f"{address}/set/high", {"name": "x"}),
            await asyncio.to_thread(_page, f"{address}/nowhere"),
        ]
    text = "text/plain; charset=utf-8"
    assert pages == [
        (200, "text/html; charset=utf-8", "<h1>Lamp</h1>"),
        (200, "application/json", '{"led": "on", "by": "a hand"}'),
        (201, text, "dim & low 42"),
        (404, text, "Not found"),
        (404, text, "Not found"),
    ]


async def test_routes_may_wait_and_be_async_in_one_program(build_py: Build) -> None:
    source = """import time
from microclaw import web
app = web.App()
@app.route("/slow")
def slow(request):
    time.sleep(1)
    return "slow"
@app.route("/other")
async def other(request):
    return "other", 201
app.run(port=8080)
"""
    image = await build_py(source)
    assert image.warnings == ()
    assert "result = await E.aw(function(request, **arguments))" in image.rewritten
    assert "await app.run(port=8080)" in image.rewritten
