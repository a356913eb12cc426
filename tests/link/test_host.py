"""Rules of docs/protocols/link.md that a host keeps, tried by a device that was written from the page alone.

Which credentials open the link: tests/devices/link/test_auth_matrix.py; limits and ends: test_link_closes.py.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.devices.link.conftest import Plane
from tests.link.end import BREACHES, OF_A_DEVICE, Numbers
from tests.link.plain_device import PlainDevice, request_for, running

from microclaw.events import DeviceConnected

TASK = {"task": "t", "kind": "sandbox", "input": "", "timeout_s": 1}
TEN_YEARS = timedelta(days=3652)


@pytest.fixture
async def new(plane: Plane) -> PlainDevice:
    """Provisioned with a secret; not paired."""
    made = await plane.plane.provision("plain", board="xiao-esp32s3", host="127.0.0.1")
    return PlainDevice(made.host, made.port, made.ca_sha256, made.secret)


@pytest.fixture
async def device(new: PlainDevice) -> PlainDevice:
    await new.pair()
    return new


# Trust and pairing


async def test_l_03_and_05_the_certificate_is_for_both_names_and_there_is_no_compression(new: PlainDevice) -> None:
    for name in ("127.0.0.1", "host.microclaw.internal"):
        _, writer = await asyncio.open_connection(new.host, new.port, ssl=await new.tls(), server_hostname=name)
        writer.transport.abort()
    async with new.connected(compression="deflate") as end:
        assert end.socket.protocol.extensions == []
        assert end.socket.subprotocol == "microclaw.v1"


async def test_l_31_and_39_a_code_answers_the_request_and_pings_go_on(new: PlainDevice) -> None:
    new.secret = None
    async with new.connected() as end:
        asked = await end.say("pair_request", new.pair_request())
        code = (await end.next("pair_code", asked))["body"]
        assert re.fullmatch(r"\d{6}", code["code"])
        assert 0 < code["expires_s"] <= 3600
        await end.alive()


def _unsigned() -> bytes:
    request = bytearray(request_for(ec.generate_private_key(ec.SECP256R1())))
    request[-1] ^= 1
    return bytes(request)


async def test_l_36_a_bad_request_ends_with_4400(new: PlainDevice) -> None:
    bad: tuple[dict[str, Any], ...] = (
        *({"board": "b", "csr": csr} for csr in (_unsigned(), request_for(ec.generate_private_key(ec.SECP384R1())))),
        {"board": "b", "csr": b"0\x82csr"},
        *({"board": board, "token_wanted": True} for board in ("my board!", "x" * 65)),
    )
    for body in bad:
        async with new.connected() as end:
            await end.say("pair_request", body)
            assert (await end.ended())[0] == 4400, body


@pytest.mark.parametrize("token", [True, False])
async def test_l_33_and_34_a_device_that_was_written_from_the_page_is_let_in_with_what_the_page_promises(
    plane: Plane, new: PlainDevice, token: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microclaw.devices.link.server.AT_ONCE_S", 60.0)
    new.wants_token = token
    async with running(new), asyncio.timeout(60):
        await plane.published.until(DeviceConnected)
        assert (await plane.links.online[0].calls.call("device.info", {}, idempotent=True, timeout_s=60)).ok
        assert await plane.plane.notify("plain", "hello", speak=False, expires_s=None) == "delivered"
    assert plane.registry.get("plain").board.board_id == "xiao-esp32s3"
    made = new.certificate
    if token:
        assert re.fullmatch(r"mc1_[A-Za-z0-9._-]{1,64}_[A-Za-z0-9_-]{43}", new.token or "")
    else:
        assert made is not None
        made.verify_directly_issued_by(x509.load_pem_x509_certificate((await new.fetch()).encode()))
        names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert made.public_key() == new.key.public_key()
        assert [name.value.startswith("urn:microclaw:device:") for name in names] == [True]
        uses = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert ExtendedKeyUsageOID.CLIENT_AUTH in uses
        # It begins with the release, and ends ten years after it was made.
        assert made.not_valid_before_utc < datetime.now(UTC)
        assert abs(made.not_valid_after_utc - datetime.now(UTC) - TEN_YEARS) < timedelta(days=7)


# A ready link


async def test_a_breach_ends_the_connection_with_its_codes(device: PlainDevice) -> None:
    page = (Path(__file__).parents[2] / "docs/protocols/link.md").read_text(encoding="utf-8")
    rules = re.findall(r"^\| (L-\d\d) \| (?:host|device|both) \| .+ \|$", page, re.M)
    assert rules == sorted(set(rules)), "the rules of the page have one number each"
    for what, (message, code, error) in {**BREACHES, **OF_A_DEVICE}.items():
        assert what[:4] in rules
        async with device.ready() as end:
            await end.socket.send(message)
            ended = await end.ended()
        assert ended == (code, error or ended[1]), what


async def test_what_a_later_version_says_is_ignored(device: PlainDevice) -> None:
    async with device.ready() as end:
        error = await end.ignores_a_later_version(b"\x02" + bytes(640))
    assert (error["code"], error["fatal"]) == ("unknown_type", False)


async def test_l_40_61_and_62_what_was_applied_is_in_the_welcome_and_has_no_second_effect(device: PlainDevice) -> None:
    async with device.ready() as end:
        first = await end.say_durable("run_task", TASK)
        assert (await end.next("task_status", first))["body"]["state"] == "failed"
        await end.say("run_task", TASK, seq=device.numbers.tx_last, id=first)
        await end.acked()
        await end.say_durable("run_task", TASK, id=first)
        await end.acked()
        await end.next("task_status", await end.say_durable("run_task", {**TASK, "task": "another"}))
        assert len(end.answers("task_status", first)) == 1
        await end.acked()
    said = device.numbers.tx_last
    async with device.connected() as end:
        welcome = await device.greet(end)
        assert (welcome["rx_epoch"], welcome["rx_seq"]) == (device.numbers.tx_epoch, said)


async def test_l_63_what_was_not_acked_comes_again_and_what_was_does_not(device: PlainDevice) -> None:
    async with device.ready() as end:
        end.acks = False
        asked = await end.say_durable("run_task", TASK)
        first = await end.next("task_status", asked)
    async with device.ready() as end:
        again = await end.next("task_status", asked)
        assert (again["id"], again["seq"]) == (first["id"], first["seq"])
        await end.alive()
    async with device.ready() as end:
        await end.next("task_status", await end.say_durable("run_task", {**TASK, "task": "another"}))
        assert end.answers("task_status", asked) == []


async def test_l_64_to_66_a_gap_ends_the_connection_and_epochs_begin_at_one_or_are_renewed(device: PlainDevice) -> None:
    async with device.ready() as end:
        await end.say("run_task", TASK, seq=device.numbers.tx_last + 9)
        assert await end.ended() == (4400, "sequence_gap")
    async with device.ready() as end:
        await end.say_durable("run_task", TASK)
        await end.acked()
    device.numbers = replace(Numbers(), rx_epoch=device.numbers.rx_epoch, rx_seq=device.numbers.rx_seq)
    async with device.ready() as end:
        await end.next("task_status", await end.say_durable("run_task", TASK))
        assert device.numbers.tx_last == 1
        before = device.numbers.rx_epoch
    async with device.connected() as end:
        assert (await device.greet(end, rx_seq=2**40))["tx_epoch"] != before


async def test_l_81_and_95_a_task_that_does_not_run_is_not_cancelled_and_a_bye_is_answered_with_1000(
    device: PlainDevice,
) -> None:
    async with device.ready() as end:
        asked = await end.say_durable("cancel_task", {"task": "none"})
        assert (await end.next("error", asked))["body"]["code"] == "unknown_task"
        await end.say("bye", {"reason": "the end"})
        assert (await end.ended())[0] == 1000
