"""The typed calls against a real host with a virtual board, as a maker's script makes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from tests.api.people_host import BLINK, PeopleHost, people_host
from tests.cli.https_front import tls_front, write_certificate

from microclaw.apps import operations as programs
from microclaw.apps.device_operations import add_device, remove
from microclaw.auth import questions
from microclaw.client import ApprovalAsked, Client, HostError
from microclaw.errors import ConfigError

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


async def test_what_a_member_may_not_do_alone_is_asked_and_decided(host: PeopleHost) -> None:
    """With `ask` the question comes to the script; an owner's yes lets the act go on."""
    asked: list[str] = []

    def ask(client: Client, question: ApprovalAsked) -> None:
        asked.append(question.text)
        owner = host.client
        (waiting,) = owner.call(questions.list_approvals).approvals
        assert waiting.approval_id == question.approval_id
        owner.call(questions.decide, approval_id=question.approval_id, approved=len(asked) > 1, wait_s=0)

    def work() -> None:
        host.client.call(add_device, name="shed", board="virtual", transports=["wasmachine://127.0.0.1:9"])
        client = of(host, "ada", ask=ask)
        with pytest.raises(HostError) as caught:
            client.call(remove, device="shed")
        assert caught.value.code == "permission_refused"
        assert client.call(remove, device="shed").removed == "shed"
        assert len(asked) == 2

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
            with pytest.raises(ConfigError) as caught:
                Client(address, token=host.secrets["ada"], home=tmp_path).me()
            assert caught.value.next
            with pytest.raises(ConfigError):
                Client(f"https://127.0.0.1:{front}", token=host.secrets["ada"], ca_file=certificate).me()

    await script(work)


async def test_an_act_that_takes_too_long_is_left(host: PeopleHost) -> None:
    """Nobody says yes: the deadline ends the wait, and the question is withdrawn."""

    def work() -> None:
        hasty = of(host, "ada").watching(within_s=0.1)
        with pytest.raises(HostError) as caught:
            hasty.call(programs.install, device=BOARD, name="forced", source=BLINK, force=True)
        assert caught.value.code == "not_in_time"

    await script(work)
