"""The hosts and ports that a program's text names: shown to its owner before it is installed, and held by the board."""

from __future__ import annotations

import pytest
from tests.programs.py.conftest import Build

from microclaw.errors import BuildError
from microclaw.network_use import NO_NETWORK, NetworkUse
from microclaw.programs.host_texts import HostText, host_of_text

SOCKET = "import socket\nsock = socket.socket()\n"


def answered(source: str) -> str:
    """A program that asks for what `url` is, made by these lines."""
    return f"import requests\n{source}\nprint(requests.get(url).text)\n"


def served(port: str) -> str:
    return f"{SOCKET}{port}sock.listen(1)\nclient, peer = sock.accept()\n"


@pytest.mark.parametrize(
    ("source", "hosts"),
    [
        (answered('url = "http://api.example.org/x"'), ["api.example.org:80"]),
        (answered('url = "HTTPS://API.example.org"'), ["api.example.org:443"]),
        (answered('url = "http://user:word@10.0.0.7:8123/states"'), ["10.0.0.7:8123"]),
        (answered('city = "Bern"\nurl = f"http://api.example.org/x?q={city}"'), ["api.example.org:80"]),
        (answered('url = "http://api.example.org/x?q=%s" % 5'), ["api.example.org:80"]),
        (answered('url = "http://api.example.org" + "/x"'), ["api.example.org:80"]),
        (answered('HOST = "api.example.org"\nurl = "http://%s/x" % HOST'), ["api.example.org"]),
        (answered('HOST = "192.168.1.20"\nurl = f"http://{HOST}:8080/x"'), ["192.168.1.20"]),
        (answered('config = {"server": "api.example.org"}\nurl = "http://" + config["server"]'), ["api.example.org"]),
        (answered('port = 81\nurl = f"http://10.0.0.7:{port}/x"'), ["10.0.0.7"]),
        (answered('port = 81\nurl = "http://10.0.0.7:{}/x".format(port)'), ["10.0.0.7"]),
        (answered('url = "http://10.0.0.7" + ":81/x"'), ["10.0.0.7:81"]),
        (answered('path = "/x"\nurl = f"http://api.example.org{path}"'), ["api.example.org:80"]),
        (f'{SOCKET}sock.connect(("api.example.org", 8080))\n', ["api.example.org:8080"]),
        (f'{SOCKET}sock.connect(socket.getaddrinfo("homeserver", 99)[0][-1])\n', ["homeserver:99"]),
        (f'{SOCKET}HOST = b"api.example.org"\nPORT = 7\nsock.connect((HOST, PORT))\n', ["api.example.org:7"]),
        (
            f"{SOCKET}def ask(host, port=80):\n    sock.connect((host, port))\n"
            "ask('api.example.org')\nask('b.example.org', 81)\n",
            ["api.example.org:80", "api.example.org:81", "b.example.org:80", "b.example.org:81"],
        ),
        ('from umqtt.simple import MQTTClient\nMQTTClient("a", "broker.lan").connect()\n', ["broker.lan:1883"]),
        ('from umqtt.simple import MQTTClient\nMQTTClient("a", server="pi", port=1884).connect()\n', ["pi:1884"]),
        (
            "import asyncio\nasync def main():\n    await asyncio.open_connection('api.example.org', 90)\n"
            "asyncio.run(main())\n",
            ["api.example.org:90"],
        ),
        ('import microclaw\nmicroclaw.fetch("GET", "https://api.example.org/x")\n', ["api.example.org:443"]),
    ],
)
async def test_hosts_are_read_from_the_text(source: str, hosts: list[str], build_py: Build) -> None:
    image = await build_py(source)
    assert image.network == NetworkUse(tuple(hosts), ())


@pytest.mark.parametrize(
    ("source", "port"),
    [
        (served('sock.bind(("0.0.0.0", 80))\n'), 80),
        (served('PORT = 8000\nsock.bind(("", PORT))\n'), 8000),
        (served('address = socket.getaddrinfo("0.0.0.0", 81)[0][-1]\nsock.bind(address)\n'), 81),
        (
            "import asyncio\nasync def serve(reader, writer):\n    pass\nasync def main():\n"
            "    await asyncio.start_server(serve, '0.0.0.0', 82)\nasyncio.run(main())\n",
            82,
        ),
        ("from microclaw import web\napp = web.App()\napp.run(port=83)\n", 83),
        ("from microclaw import web\napp = web.App()\napp.run()\n", 80),
    ],
)
async def test_ports_are_read_from_the_text(source: str, port: int, build_py: Build) -> None:
    image = await build_py(source)
    assert image.network == NetworkUse((), (port,))


async def test_addresses_of_the_board_itself_and_other_texts_are_no_hosts(build_py: Build) -> None:
    source = """'''See http://docs.example.org'''
import network, ntptime
FILE = "wifi.dat"
PAGE = "index.html"
PLACE = "192.168.1.xxx"
wlan = network.WLAN(network.STA_IF)
wlan.ifconfig(("192.168.1.50", "255.255.255.0", "192.168.1.1", "8.8.8.8"))
ntptime.host = "pool.example.org"
print("ask http://api.example.org", FILE, PAGE, PLACE, "kitchen.lamp")
"""
    image = await build_py(served('sock.bind(("0.0.0.0", 80))\n') + source)
    assert image.network == NetworkUse((), (80,))


async def test_a_program_without_network_names_no_hosts(build_py: Build) -> None:
    image = await build_py('print("http://api.example.org/")\n')
    assert image.network == NO_NETWORK


@pytest.mark.parametrize(
    "source",
    [
        answered('url = "http://" + open("host.txt").read()'),
        answered('n = 5\nurl = f"http://sensor{n}.local/"'),
        answered('n = 5\nurl = f"http://10.0.0.1{n}/"'),
        answered('n = 5\nurl = "http://sensor" + str(n) + ".local/"'),
        f'{SOCKET}sock.connect((open("host.txt").read(), 80))\n',
        'import json\nfrom umqtt.simple import MQTTClient\nMQTTClient("a", json.load(open("c"))["h"]).connect()\n',
    ],
)
async def test_hosts_that_are_made_at_run_time_must_be_named(source: str, build_py: Build) -> None:
    with pytest.raises(BuildError) as caught:
        await build_py(source)
    (found,) = caught.value.diagnostics
    assert found.message == "the hosts that this program talks to are not in its text"
    assert "--hosts" in (found.hint or "")
    image = await build_py(source, hosts=("api.example.org:80",))
    assert image.network.hosts == ("api.example.org:80",)


@pytest.mark.parametrize(
    "source",
    [
        answered('url = "http://localhost:8080/x"'),
        answered('url = "http://127.0.0.1"'),
        f'{SOCKET}sock.connect(("127.0.0.1", 80))\n',
    ],
)
async def test_a_program_that_talks_to_its_own_board_is_told_so(source: str, build_py: Build) -> None:
    with pytest.raises(BuildError) as caught:
        await build_py(source)
    assert "the board itself" in caught.value.diagnostics[0].message


async def test_a_port_that_is_made_at_run_time_is_refused(build_py: Build) -> None:
    with pytest.raises(BuildError) as caught:
        await build_py(served('sock.bind(("", int(open("port.txt").read())))\n'))
    assert caught.value.diagnostics[0].message == "the port that this program opens is not in its text"


async def test_an_address_of_a_tutorial_must_be_written_out(build_py: Build) -> None:
    source = 'from umqtt.simple import MQTTClient\nSERVER = "192.168.1.XXX"\nMQTTClient("a", SERVER).connect()\n'
    with pytest.raises(BuildError) as caught:
        await build_py(source)
    (found,) = caught.value.diagnostics
    assert (found.line, found.message) == (2, "'192.168.1.XXX' is no address yet")


@pytest.mark.parametrize(
    "call",
    [
        'MQTTClient("a", "pi", ssl=True)',
        'MQTTClient("a", "pi", 8883, None, None, 60, True)',
        'MQTTClient("a", "pi", ssl=TLS, ssl_params={})',
    ],
)
@pytest.mark.parametrize("module", ["umqtt.simple", "umqtt.robust"])
async def test_a_client_of_mqtt_with_ssl_is_refused_before_it_fails_on_the_board(
    call: str, module: str, build_py: Build
) -> None:
    source = f"from {module} import MQTTClient\nTLS = True\nOFF = False\n"
    with pytest.raises(BuildError) as caught:
        await build_py(f"{source}{call}.connect()\n")
    (found,) = caught.value.diagnostics
    assert (found.line, found.message) == (4, "a client of MQTT cannot have ssl here")
    await build_py(f'{source}MQTTClient("a", "pi", 1883, ssl=OFF).connect()\n')


async def test_more_hosts_than_a_board_holds_are_refused(build_py: Build) -> None:
    hosts = [f"h{number}.example.org" for number in range(17)]
    with pytest.raises(BuildError) as caught:
        await build_py(f"{SOCKET}for host in {hosts}:\n    sock.connect((host, 80))\n")
    assert caught.value.diagnostics[0].message == "the text names 17 hosts; 16 is the limit"


async def test_a_number_that_is_no_port_is_none(build_py: Build) -> None:
    source = f"""{SOCKET}def ask(host, port=0):
    sock.connect((host, port or 1883))
ask("api.example.org")
ask("api.example.org", 70000)
"""
    assert (await build_py(source)).network.hosts == ("api.example.org:1883",)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("http://api.example.org", HostText("api.example.org", 80)),
        ("https://api.example.org:8443/x", HostText("api.example.org", 8443)),
        ("mqtt://broker", HostText("broker", 1883)),
        ("broker.example.org:1884", HostText("broker.example.org", 1884)),
        ("api.example.org", HostText("api.example.org")),
        ("10.1.2.3", HostText("10.1.2.3")),
        ("192.168.1.xxx", None),
        ("http://192.168.1.x/", None),
        ("http://", None),
        ("http://%s/", None),
        ("http://127.0.0.1/", None),
        ("http://localhost:8080/", None),
        ("http://api.example.org:0/", None),
        ("http://api.example.org:99999/", None),
        (f"http://api.example.org:{'9' * 5000}/", None),
        ("192.168.1.255", None),
        ("224.0.0.1", None),
        ("255.255.255.0", None),
        ("300.1.2.3", None),
        ("time.sleep", None),
        ("main.py", None),
        ("-a.example.org", None),
        ("a..example.org", None),
        ("a b.example.org", None),
        ("user@example.org", None),
    ],
)
def test_a_text_is_a_host_or_none(text: str, host: HostText | None) -> None:
    assert host_of_text(text) == host


@pytest.mark.parametrize("text", ["http://api.", "http://sensor", "http://10.0.0.1"])
def test_the_beginning_of_an_address_is_no_host_if_more_of_it_may_follow(text: str) -> None:
    assert host_of_text(text, is_whole=False) is None


def test_the_beginning_of_an_address_without_its_whole_port_is_the_host_with_every_port() -> None:
    assert host_of_text("http://api.example.org:80", is_whole=False) == HostText("api.example.org")


@pytest.mark.parametrize("use", ["Client().connect('x')", "client = Client()\nf = client.connect\nf('x')"])
async def test_a_client_that_nothing_uses_needs_no_host(use: str, build_py: Build) -> None:
    source = """import socket
class Client:
    def connect(self, host):
        self.sock = socket.socket()
        self.sock.connect((host + ".example.org", 80))
"""
    assert (await build_py(source)).network == NO_NETWORK
    with pytest.raises(BuildError):
        await build_py(f"{source}{use}\n")
