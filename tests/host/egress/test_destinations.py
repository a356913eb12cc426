"""Egress: the public Internet alone, whatever form an address is written in, and looked up once; settings at home."""

from __future__ import annotations

import ipaddress

import pytest
from tests.host.egress.proxying import Names

from microclaw.errors import MicroclawError, PermissionRefused, ToolRetry
from microclaw.host.egress.destinations import Egress, Purpose, own_networks

METADATA = (
    "169.254.169.254 169.254.170.2 fe80::1 fd00:ec2::254 168.63.129.16 100.100.100.200 192.0.0.192 "
    "::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::"
)
PRIVATE = (
    "127.0.0.1 127.9.9.9 0.0.0.0 10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 224.0.0.1 255.255.255.255 "
    "198.18.0.1 240.0.0.1 :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::127.0.0.1 fc00::1 fec0::1 ff02::1 "
    "64:ff9b::7f00:1 64:ff9b:1::a00:1 2002:7f00:1:: 2002:c0a8:101::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 "
    "2001:db8::1 100::1 ::a00:1 ::ffff:0:a00:1 2001:0:a00:1:: 5f00::1"
)
PUBLIC = "1.1.1.1 93.184.216.34 172.32.0.1 192.169.0.1 100.128.0.1 2606:4700::1111"
PUBLIC_INSIDE = "64:ff9b::101:101 ::ffff:1.1.1.1 2002:101:101::"
OUTWARD = (Purpose.TASK, Purpose.WEB, Purpose.DOWNLOAD)


async def lets_through(purpose: Purpose, *addresses: str) -> bool:
    try:
        egress = Egress(resolve=lambda *_: addresses, own=tuple)
        return bool(await egress.addresses(purpose, "a.example", 443))
    except PermissionRefused:
        return False


@pytest.mark.parametrize(
    ("addresses", "outward", "configured"),
    [(METADATA, False, False), (PRIVATE, False, True), (PUBLIC, True, True), (PUBLIC_INSIDE, True, True)],
)
async def test_each_purpose_has_its_addresses(addresses: str, outward: bool, configured: bool) -> None:
    """An alias (CNAME) is followed by the resolver: every address that comes out has to be public."""
    for address in addresses.split():
        for purpose in OUTWARD:
            assert await lets_through(purpose, address) is outward, (purpose, address)
            assert await lets_through(purpose, "1.1.1.1", address) is outward, (purpose, address)
        assert await lets_through(Purpose.CONFIGURED, address) is configured, address


async def test_a_zone_of_this_machine_leads_to_no_public_address() -> None:
    assert not await lets_through(Purpose.WEB, "fe80::1%eth0")
    mixed = Egress(resolve=lambda *_: ["fe80::1%eth0", "127.0.0.1"])  # as a name of the home's network often has
    assert await mixed.addresses(Purpose.CONFIGURED, "nas.local", 80) == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("hosts", "error"),
    [
        ("127.0.0.1 127.0.0.1. ::1 ::ffff:7f00:1 169.254.169.254 64:ff9b::7f00:1 0.0.0.0", PermissionRefused),
        ("2130706433 0177.0.0.1 0x7f.1 0X7F.1 127.1 0x7f000001 1 fe80::1%25eth0 1.2.3.4.5 a.0x1 ::1]", ToolRetry),
    ],
)
async def test_an_address_in_any_form_is_no_name_to_look_up(hosts: str, error: type[MicroclawError]) -> None:
    names = Names()
    for host in hosts.split():
        with pytest.raises(error):
            await Egress(resolve=names).addresses(Purpose.WEB, host, 80)
    assert names.asked == []


@pytest.mark.parametrize("address", ["2606:4700:1:2::99", "203.0.114.7", "::ffff:203.0.114.7", "64:ff9b::cb00:7207"])
async def test_a_public_address_of_the_hosts_own_network_is_refused(address: str) -> None:
    own = (ipaddress.ip_network("2606:4700:1:2::/64"), ipaddress.ip_network("203.0.114.0/24"))
    with pytest.raises(PermissionRefused, match="network of this host"):
        await Egress(resolve=lambda *_: [address], own=lambda: own).addresses(Purpose.WEB, "printer.example", 80)
    assert await Egress(resolve=lambda *_: ["1.1.1.1"], own=lambda: own).addresses(Purpose.WEB, "public.example", 80)


def test_the_hosts_own_networks_are_known_and_hold_no_whole_internet() -> None:
    networks = own_networks()
    assert any(ipaddress.ip_address("127.0.0.1") in network for network in networks)
    assert all(network.num_addresses < 2**97 for network in networks)
