"""The typed calls against a real host with a virtual board, as a maker's script makes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import pytest_asyncio
from tests.api.people_host import BLINK, PeopleHost, people_host
from tests.cli.https_front import tls_front, write_certificate

from microclaw.client import Answer, ApprovalAsked, Client, DeviceChoice, HostError, MicroclawError, Step, answers
from microclaw.errors import ConfigError
from microclaw.wire.host_api import StreamEvent

WITHIN_S = 120.0
BOARD = "virtual-1"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PeopleHost]:
    async with people_host(tmp_path_factory.mktemp("client") / "home") as running:
        yield running


pytestmark = pytest.mark.asyncio(loop_scope="module")


def of(host: PeopleHost, who: str, **options: Any) -> Client:
    """The client of one of the host's people."""
    return Client(host.http, token=host.secrets[who], **options)


async def script(work: Callable[[], None]) -> None:
    """Run what blocks beside the host, which is in this process."""
    await asyncio.wait_for(asyncio.to_thread(work), WITHIN_S)


def check(form: type[Any], value: object) -> None:
    """`value` has the types of the form; that there may be more is the API's promise."""
    msgspec.convert(value, form)


async def test_who_the_host_and_the_caller_are(host: PeopleHost) -> None:
    def work() -> None:
        with of(host, "ada") as client:
            assert client.me()["name"] == "ada"
            assert client.me()["role"] == "member"
            assert client.status()["version"] == client.health()["version"]
            assert client.usage(by="person", days=1)["by"] == "person"
        assert host.client.me()["role"] == "owner"

    await script(work)


async def test_devices_are_listed_called_and_read(host: PeopleHost) -> None:
    def work() -> None:
        client = host.client
        (listed,) = client.devices.list()
        check(answers.ListedDevice, listed)
        check(answers.OneDevice, client.devices.get(BOARD))
        assert {pin["pin"] for pin in client.devices.pins(BOARD)} >= {2, 4}
        done = client.devices.call(BOARD, "gpio.set", {"pin": 4, "level": 1})
        assert done["evidence"]["kind"] == "counted"
        assert client.devices.call(BOARD, "gpio.get", {"pin": 4})["result"]["level"] == 1
        many = client.devices.call_many(DeviceChoice(all=True), "gpio.get", {"pin": 4})
        assert [row["device"] for row in many["results"]] == [BOARD]
        page = client.devices.edges(BOARD)
        assert [4, 1] in [edge[1:] for edge in page["edges"]]
        assert client.devices.edges(BOARD, cursor=page["cursor"])["edges"] == []
        assert "cursor" in client.devices.logs(BOARD)
        assert client.devices.telemetry(BOARD, points=10)["device"] == BOARD
        assert client.devices.check(BOARD)["device"] == BOARD
        assert client.devices.crashes() == []
        check(answers.DeviceFacts, client.devices.label(BOARD, ["bench"]))
        assert client.devices.get(BOARD)["labels"] == ["bench"]

    await script(work)


async def test_a_device_is_added_renamed_and_removed(host: PeopleHost) -> None:
    def work() -> None:
        devices = host.client.devices
        check(answers.DeviceFacts, devices.add("shed", "virtual", ["wasmachine://127.0.0.1:9"], labels=["garden"]))
        assert devices.rename("shed", "hut")["name"] == "hut"
        assert devices.remove("hut") == {"removed": "hut"}
        with pytest.raises(HostError) as caught:
            devices.get("hut")
        assert (caught.value.code, caught.value.status) == ("unknown_name", 404)
        assert caught.value.next

    await script(work)


async def test_a_program_is_checked_tried_installed_stopped_and_undone(host: PeopleHost) -> None:
    def work() -> None:
        programs = host.client.programs
        found = programs.check(BLINK)
        check(answers.CheckedProgram, found)
        assert found["pins"] == [2]
        found = programs.check("int main(void) { return x; }")
        assert not found["ok"]
        assert found["findings"][0]["line"] == 1
        check(answers.CompiledModule, programs.compile(BLINK))
        with pytest.raises(HostError) as caught:
            programs.compile("int main(void) { return x; }")
        assert caught.value.code == "build_error"
        assert caught.value.failure.diagnostics[0]["line"] == 1
        tried = programs.try_out(BLINK, device=BOARD, for_s=1)
        assert tried["ok"]
        assert {edge[1] for edge in tried["edges"]} == {2}
        seen: list[StreamEvent] = []
        made = programs.install(BOARD, "blink", BLINK, watch=seen.append, within_s=WITHIN_S)
        assert made["verified"]
        assert {event.stage for event in seen if isinstance(event, Step)} >= {"compile", "try", "deploy", "verify"}
        (listed,) = programs.list(BOARD)
        check(answers.AppFacts, listed)
        check(answers.AppWithSource, programs.get(BOARD, "blink"))
        assert programs.source(BOARD, "blink") == BLINK
        assert [one["name"] for one in host.client.fleet.wanted()] == ["blink"]
        assert host.client.fleet.program(BOARD, "blink")["source"] == BLINK
        programs.stop(BOARD, "blink", within_s=WITHIN_S)
        assert programs.list(BOARD)[0]["condition"] == "stopped"
        many = programs.start(DeviceChoice(devices=[BOARD]), "blink", within_s=WITHIN_S)
        assert (many["failed"], programs.list(BOARD)[0]["condition"]) == (0, "running")
        programs.upgrade(BOARD, "blink", BLINK.replace("100", "200"), within_s=WITHIN_S)
        programs.set_times(BOARD, "blink", every_ms=60_000, stop_after_ms=2_000, within_s=WITHIN_S)
        assert programs.get(BOARD, "blink")["runs"] is not None
        programs.remove(BOARD, "blink", within_s=WITHIN_S)
        assert programs.list() == []
        newest = programs.changes(limit=1)[0]
        check(answers.ChangeFacts, newest)
        programs.undo(newest["change_id"], within_s=WITHIN_S)
        assert [one["name"] for one in programs.list()] == ["blink"]
        programs.remove(DeviceChoice(all=True), "blink", within_s=WITHIN_S)

    await script(work)


async def test_an_act_that_fails_raises_what_the_host_said(host: PeopleHost) -> None:
    def work() -> None:
        with pytest.raises(HostError) as caught:
            host.client.programs.install(BOARD, "broken", "int main(void) { return x; }")
        assert (caught.value.code, caught.value.exit_code) == ("build_error", 1)
        with pytest.raises(HostError) as caught:
            host.client.programs.remove(BOARD, "nothing")
        assert caught.value.code == "app_not_found"

    await script(work)


async def test_a_chat_answers_and_streams(host: PeopleHost) -> None:
    def work() -> None:
        client = host.client
        answer = client.chat.ask("set pin 5 high", device=BOARD, within_s=WITHIN_S)
        assert answer.error_code is None
        assert answer.evidence[0].kind == "counted"
        *_, last = client.chat.stream("which devices are there?", within_s=WITHIN_S)
        assert isinstance(last, Answer)
        assert BOARD in last.text
        assert client.chat.undelivered() == []
        assert client.chat.mark_delivered([1]) == []
        assert client.chat.cancel() is False

    await script(work)


async def test_tools_schedules_and_tasks(host: PeopleHost) -> None:
    def work() -> None:
        client = host.client
        assert "list-devices" in {tool["name"] for tool in client.tools.list()}
        assert client.tools.call("list-devices", within_s=WITHIN_S)["ok"]
        made = client.schedules.add("every day at 7:00", tool="list-devices", arguments={})
        number = made["schedule"]
        assert [one["schedule"] for one in client.schedules.list()] == [number]
        assert client.schedules.get(number)["runs"] == []
        client.schedules.remove(number)
        assert client.schedules.list() == []
        assert client.schedules.subagents() == []
        task = client.tasks.run("open('out.txt', 'w').write(input_text := open('in.txt').read()); print(input_text)",
                                files={"in.txt": b"hello"}, keep=["out.txt"])  # fmt: skip
        check(answers.TaskFacts, task)
        ended = client.tasks.wait(task["task"], within_s=WITHIN_S)
        check(answers.TaskWithOutput, ended)
        assert (ended["state"], ended["output"].strip()) == ("done", "hello")
        assert client.tasks.file(task["task"], "out.txt") == b"hello"
        assert [one["task"] for one in client.tasks.list(limit=1)] == [task["task"]]

    await script(work)


async def test_memory_sessions_and_skills(host: PeopleHost) -> None:
    def work() -> None:
        client = host.client
        before = client.memory.get()
        client.memory.write("The lamp is on pin 2.\n", before["digest"])
        assert client.memory.search("lamp")[0]["text"]
        assert client.skills.list()["skills"] is not None
        name = client.sessions.list()[0]["name"]
        assert client.sessions.get(name)["messages"]

    await script(work)


async def test_what_a_member_may_not_do_alone_is_asked_and_decided(host: PeopleHost) -> None:
    """With `ask` the question comes to the script; an owner's yes lets the act go on."""
    asked: list[str] = []

    def ask(client: Client, question: ApprovalAsked) -> None:
        asked.append(question.text)
        owner = host.client
        (waiting,) = owner.approvals.list()
        check(answers.WaitingApproval, waiting)
        check(answers.Approval, owner.approvals.get(question.approval_id))
        done = owner.approvals.decide(question.approval_id, approved=len(asked) > 1, wait_s=0)
        check(answers.Approval, done)

    def work() -> None:
        host.client.devices.add("shed", "virtual", ["wasmachine://127.0.0.1:9"])
        client = of(host, "ada", ask=ask)
        with pytest.raises(HostError) as caught:
            client.devices.remove("shed")
        assert caught.value.code == "permission_refused"
        assert client.devices.remove("shed") == {"removed": "shed"}
        assert len(asked) == 2

    await script(work)


async def test_live_events_come_in_and_end(host: PeopleHost) -> None:
    def work() -> None:
        client = host.client
        with client.live.events(edges=[BOARD]) as events:
            for event in events:
                if event.kind == "edges" and event.data["edges"]:
                    break
                client.devices.call(BOARD, "gpio.set", {"pin": 4, "level": 0})
                client.devices.call(BOARD, "gpio.set", {"pin": 4, "level": 1})
        assert events.closed
        assert list(events) == []

    await script(work)


async def test_a_wrong_token_says_so_and_what_to_do(host: PeopleHost) -> None:
    def work() -> None:
        with pytest.raises(HostError) as caught:
            Client(host.http, token="mc_wrong").devices.list()
        assert (caught.value.code, caught.value.status) == ("unauthorized", 401)
        assert "token create" in str(caught.value.next)
        with pytest.raises(HostError) as caught:
            next(iter(Client(host.http, token="mc_wrong").live.events()))
        assert caught.value.status == 401

    await script(work)


async def test_tls_is_checked_and_a_hosts_own_certificate_can_be_named(host: PeopleHost, tmp_path: Path) -> None:
    """The token goes to nobody who cannot prove the name."""
    certificate, key = write_certificate(tmp_path, "localhost")
    port = urlsplit(host.http).port
    assert port is not None

    def work() -> None:
        with tls_front(certificate, key, port) as front:
            address = f"https://localhost:{front}"
            assert Client(address, token=host.secrets["ada"], ca_file=certificate).me()["name"] == "ada"
            with pytest.raises(ConfigError, match="cannot prove") as caught:
                Client(address, token=host.secrets["ada"], home=tmp_path).me()
            assert caught.value.next
            with pytest.raises(ConfigError, match="cannot prove"):
                Client(f"https://127.0.0.1:{front}", token=host.secrets["ada"], ca_file=certificate).me()

    await script(work)


async def test_a_guest_is_refused_with_the_reason(host: PeopleHost) -> None:
    def work() -> None:
        with pytest.raises(MicroclawError) as caught:
            of(host, "gus").programs.stop(BOARD, "blink")
        assert caught.value.code == "permission_refused"

    await script(work)


async def test_an_act_that_takes_too_long_is_left(host: PeopleHost) -> None:
    """Nobody says yes: the deadline ends the wait, and the question is withdrawn."""

    def work() -> None:
        with pytest.raises(HostError) as caught:
            of(host, "ada").programs.install(BOARD, "forced", BLINK, force=True, within_s=0.1)
        assert caught.value.code == "not_in_time"

    await script(work)
