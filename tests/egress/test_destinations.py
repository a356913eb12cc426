"""Egress: the public Internet alone, whatever form an address is written in, and looked up once."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import pytest

from microclaw.egress.destinations import Egress, own_networks, why_not_public
from microclaw.errors import PermissionRefused, ToolFailed, ToolRetry


class Names:
    """A resolver on paper; it counts its look-ups."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.addresses


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16", "224.0.0.1",
        "255.255.255.255", "198.18.0.1", "240.0.0.1",
        "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "fe80::1", "fc00::1", "fd00:ec2::254",
        "fec0::1", "ff02::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::",
        "2002:c0a8:101::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "100::1", "::a00:1",
        "::ffff:0:a00:1", "2001:0:a00:1::", "5f00::1",
    ],
)  # fmt: skip
def test_address_that_is_not_public_is_refused(address: str) -> None:
    assert why_not_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.216.34", "172.32.0.1", "192.169.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101",
     "::ffff:1.1.1.1", "2002:101:101::"],
)  # fmt: skip
def test_public_address_is_let_through(address: str) -> None:
    assert why_not_public(ipaddress.ip_address(address)) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://127.0.0.1:8080/x", "https://[::1]/", "http://[::ffff:7f00:1]/", "http://127.0.0.1./",
        "http://169.254.169.254/latest/meta-data/", "http://[64:ff9b::7f00:1]/", "http://0.0.0.0/",
    ],
)  # fmt: skip
async def test_private_literal_is_refused_without_a_look_up(url: str) -> None:
    names = Names("1.1.1.1")
    with pytest.raises(PermissionRefused):
        await Egress(resolve=names).destination(url)
    assert names.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://2130706433/", "http://0177.0.0.1/", "http://0x7f.1/", "http://127.1/", "http://0x7f000001/", "http://1/",
        "http://[fe80::1%25eth0]/", "http://[::1", "http://1.2.3.4.5/", "http://a.0x1/",
    ],
)  # fmt: skip
async def test_address_in_another_form_is_no_name(url: str) -> None:
    names = Names("1.1.1.1")
    with pytest.raises(ToolRetry):
        await Egress(resolve=names).destination(url)
    assert names.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://a.example/", "gopher://a.example/", "//a.example/", "a.example", "", "http://",
        "http://user@a.example/", "http://a.example:0/", "http://a.example:99999/", "http://a b.example/",
        "http://a.example\\@127.0.0.1/", "http://a\nb/", "http://-a.example/", "http://a..example/",
        "http://a.example/" + "x" * 3000, "javascript:alert(1)", "http://a.example:80a/",
    ],
)  # fmt: skip
async def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(ToolRetry):
        await Egress(resolve=Names("1.1.1.1")).destination(url)


async def test_a_public_name_is_looked_up_once_and_pinned() -> None:
    names = Names("93.184.216.34", "1.1.1.1")
    found = await Egress(resolve=names).destination("https://Example.COM:8443/a b?q=ä#part".replace(" ", "%20"))
    assert found.host == "example.com"
    assert found.pinned_url == "https://93.184.216.34:8443/a%20b?q=%C3%A4"
    assert found.host_header == "example.com:8443"
    assert names.asked == ["example.com"]


async def test_a_name_of_another_script_is_asked_in_ascii() -> None:
    names = Names("1.1.1.1")
    assert (await Egress(resolve=names).destination("http://bücher.example/")).host == "xn--bcher-kva.example"


async def test_a_name_that_is_none_is_a_failure() -> None:
    async def none(host: str, port: int) -> Sequence[str]:
        raise OSError("no such host")

    with pytest.raises(ToolFailed):
        await Egress(resolve=none).destination("http://nothing.example/")
    with pytest.raises(ToolFailed):
        await Egress(resolve=Names()).destination("http://nothing.example/")


@pytest.mark.parametrize("address", ["2606:4700:1:2::99", "203.0.114.7", "::ffff:203.0.114.7", "64:ff9b::cb00:7207"])
async def test_a_public_address_of_the_hosts_own_network_is_refused(address: str) -> None:
    own = (ipaddress.ip_network("2606:4700:1:2::/64"), ipaddress.ip_network("203.0.114.0/24"))
    with pytest.raises(PermissionRefused, match="network of this host"):
        await Egress(resolve=Names(address), own=lambda: own).destination("http://printer.example/")
    assert await Egress(resolve=Names("1.1.1.1"), own=lambda: own).destination("http://public.example/")


def test_the_hosts_own_networks_are_known_and_hold_no_whole_internet() -> None:
    networks = own_networks()
    assert any(ipaddress.ip_address("127.0.0.1") in network for network in networks)
    assert all(network.num_addresses < 2**97 for network in networks)
