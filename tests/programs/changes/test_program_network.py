"""The network of a program: who is asked for it and when, what is kept of it, and which hosts nobody may name."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.devices.registry.calls import AppInstall, AppState
from microclaw.errors import ConfigError, DeployRejected, PermissionRefused
from microclaw.events import AskedProgram
from microclaw.host.operations.operation import OperationCall, Permission
from microclaw.network_use import NO_NETWORK, NetworkUse
from microclaw.programs.changes.change_log import Claims
from microclaw.programs.changes.program_requests import approve_with
from microclaw.programs.named_hosts import read_hosts, split_hosts

WEATHER = NetworkUse(("api.example.org:443",), (80,))
OTHER = NetworkUse(("api.example.org:443", "log.example.org:80"), (80,))


class Questions:
    """The questions that a caller is asked who is not asked for an installation itself, as at the command line."""

    def __init__(self, *, answer: bool = True) -> None:
        self.texts: list[str] = []
        self.programs: list[AskedProgram | None] = []
        self.lines: list[str] = []
        self.answer = answer
        self.call = OperationCall("owner", lambda _step: None, approve=self._approve, direct=True, asks=False)

    async def _approve(self, text: str, detail: Any, program: Any = None, needs: Any = None) -> None:
        assert needs is Permission.RISKY
        self.texts.append(text)
        self.programs.append(program)
        self.lines += detail
        if not self.answer:
            raise PermissionRefused("declined")

    @property
    def approve(self) -> Any:
        return approve_with(self.call, Permission.ACT)


@pytest.fixture
def asked() -> Questions:
    return Questions()


def on_board(lab: Any) -> AppInstall:
    """The program as the board was told it."""
    app: AppInstall = lab.transport.apps["blink"]
    return app


async def test_the_question_names_the_hosts_and_the_board_gets_them(lab: Any, asked: Questions) -> None:
    lab.networks["v1"] = WEATHER
    await lab.deploy(approve=asked.approve)
    assert asked.texts == ["put blink on paper: it talks to api.example.org:443; opens port 80"]
    assert "network: talks to api.example.org:443; opens port 80" in asked.lines
    (program,) = asked.programs
    assert program is not None
    assert program.network == WEATHER
    assert on_board(lab).network == WEATHER
    (listing,) = await lab.catalogue.list_apps()
    assert listing.network == WEATHER
    shown = await lab.catalogue.show("paper", "blink")
    assert f"{'network':<12} talks to api.example.org:443; opens port 80" in shown.lines()


async def test_a_no_leaves_the_board_as_it_was(lab: Any) -> None:
    lab.networks["v1"] = WEATHER
    with pytest.raises(PermissionRefused):
        await lab.deploy(approve=Questions(answer=False).approve)
    assert lab.transport.apps == {}


async def test_the_same_list_is_not_asked_for_again_and_a_changed_one_is(lab: Any, asked: Questions) -> None:
    lab.networks.update(v1=WEATHER, v2=WEATHER, v3=OTHER, v4=WEATHER)
    for source in ("v1", "v2"):
        await lab.deploy(source=source, approve=asked.approve)
    assert len(asked.texts) == 1
    await lab.deploy(source="v3", approve=asked.approve)
    await lab.deploy(source="v4", approve=asked.approve)
    assert len(asked.texts) == 3
    assert "network until now: talks to api.example.org:443, log.example.org:80; opens port 80" in asked.lines


async def test_a_program_without_a_network_asks_nobody_who_is_not_asked_anyway(lab: Any, asked: Questions) -> None:
    lab.networks["v1"] = WEATHER
    await lab.deploy(approve=asked.approve)
    await lab.deploy(source="v2", approve=asked.approve)
    assert len(asked.texts) == 1
    assert on_board(lab).network == NO_NETWORK


async def test_undo_a_stop_and_a_start_bring_back_the_list_of_their_version(lab: Any, asked: Questions) -> None:
    lab.networks.update(v1=WEATHER, v2=OTHER)
    await lab.deploy(approve=asked.approve)
    await lab.deploy(source="v2", approve=asked.approve)
    await lab.take_back()
    assert on_board(lab).network == WEATHER
    await lab.act("stop")
    await lab.act("start")
    assert on_board(lab).network == WEATHER
    assert len(asked.texts) == 2


async def test_what_the_owner_named_is_added_and_an_upgrade_keeps_it(lab: Any, asked: Questions) -> None:
    lab.networks.update(v1=WEATHER, v2=OTHER)
    await lab.deploy(hosts=("nas.home:1883",), approve=asked.approve)
    assert on_board(lab).network.hosts == ("api.example.org:443", "nas.home:1883")
    await lab.act("upgrade", source="v2", approve=asked.approve)
    assert on_board(lab).network.hosts == ("api.example.org:443", "log.example.org:80", "nas.home:1883")
    assert on_board(lab).network.ports == (80,)


async def test_a_second_program_on_a_port_is_refused_before_its_trial_and_may_replace_the_first(lab: Any) -> None:
    lab.networks.update(v1=WEATHER, v2=OTHER, v3=NetworkUse((), (81,)))
    await lab.deploy()
    lab.tried.clear()
    with pytest.raises(DeployRejected, match="port 80 of paper is opened by blink") as refused:
        await lab.deploy("page", source="v2", pin=4)
    assert "microclaw app stop blink" in str(refused.value.next_step)
    assert lab.tried == []
    await lab.deploy("other", source="v3", pin=5)
    await lab.deploy(source="v2")
    await lab.act("stop")
    await lab.deploy("page", source="v2", pin=4)
    with pytest.raises(DeployRejected, match="opened by page"):
        await lab.act("start")
    assert sorted(lab.running()) == ["other", "page"]


async def test_a_program_that_has_ended_is_taken_off_for_another_on_its_port(lab: Any) -> None:
    lab.networks.update(v1=WEATHER, v2=WEATHER)
    await lab.deploy()
    lab.transport.states["blink"] = AppState("blink", "trapped", "out of memory", 8192, 0, 0, ())
    await lab.deploy("page", source="v2", pin=4)
    assert list(lab.running()) == ["page"]


async def test_the_hosts_own_ports_are_refused(lab: Any) -> None:
    lab.own_ports = {8080}
    lab.rebuild()
    lab.networks["v1"] = NetworkUse(("localhost:8080",))
    with pytest.raises(DeployRejected):
        await lab.deploy()
    lab.networks["v1"] = NetworkUse(("localhost",))
    with pytest.raises(DeployRejected) as refused:
        await lab.deploy()
    assert refused.value.next_step == "name the port that it talks to: --hosts localhost:PORT"
    await lab.deploy(hosts=("localhost:18830",))
    assert on_board(lab).network.hosts == ("localhost:18830",)
    lab.networks["v1"] = NetworkUse(("localhost:1883",))
    await lab.deploy()


def test_a_record_of_an_older_host_has_no_network() -> None:
    from msgspec.json import decode, encode

    assert decode(b'{"reads":[4]}', type=Claims).network == NO_NETWORK
    assert encode(Claims(reads=(4,))) == b'{"reads":[4]}'


def test_hosts_are_read_in_small_letters_in_order_each_once() -> None:
    assert read_hosts(split_hosts("NAS.home:1883, api.Example.org ,nas.home:1883,192.168.1.20:0080")) == (
        "192.168.1.20:80",
        "api.example.org",
        "nas.home:1883",
    )


@pytest.mark.parametrize(
    "text",
    [
        "*.example.org",
        "https://api.example.org",
        "api.example.org/x",
        "api.example.org:0",
        "api.example.org:65536",
        "api.example.org:http",
        "api..org",
        "-x.org",
        "a b.org",
        "[::1]:80",
        "::1",
        "localhost",
        "x.localhost:80",
        "127.0.0.1",
        "127.9.9.9:80",
        "0.0.0.0:80",
        "0x7f000001",
        "2130706433",
        "0177.1",
        "1.2.3",
        "192.168.1.256",
        "255.255.255.255:9",
        "224.0.0.251:5353",
        "ü.org",
        "a" * 64 + ".org",
        ".".join(["abcdefgh"] * 32),
    ],
)
def test_no_program_may_have_such_a_host(text: str) -> None:
    with pytest.raises(ConfigError):
        read_hosts([text])


def test_more_than_sixteen_hosts_are_refused() -> None:
    hosts = [f"h{number}.example.org" for number in range(17)]
    assert len(read_hosts(hosts[:16])) == 16
    with pytest.raises(ConfigError):
        read_hosts(hosts)
    with pytest.raises(ConfigError):
        split_hosts(" , ")
