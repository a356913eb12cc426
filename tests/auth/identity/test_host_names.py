from __future__ import annotations

import pytest

from microclaw.auth.certificates import CONSTANT_NAME, MAX_ADDRESSES, HostNames, host_names, lan_names


def test_first_name_is_what_the_lan_resolves_and_the_operators_are_added() -> None:
    found = host_names("Lab.Example.org", (), "Brain.Example.org", "198.51.100.1")
    own = ("lab.local", "lab", "lab.example.org", "localhost", CONSTANT_NAME)
    assert found.names == (*own, "brain.example.org")
    assert "198.51.100.1" in map(str, found.addresses)


@pytest.mark.parametrize("address", ["0.0.0.0", "224.0.0.251", "fe80::1", "fe80::1%eth0"])
def test_address_that_means_nothing_elsewhere_is_left_out(address: str) -> None:
    assert host_names("lab", (address,)) == host_names("lab", ())


@pytest.mark.parametrize("hostname", ["", "-", "caf\u00e9", "a b", "x" * 64])
def test_hostname_that_no_certificate_may_have_is_left_out(hostname: str) -> None:
    assert host_names(hostname, ()).names == ("localhost", CONSTANT_NAME)


def test_addresses_are_bounded_and_told_once() -> None:
    many = tuple(f"10.0.{n >> 8}.{n & 255}" for n in range(500))
    assert len(host_names("lab", many + many).addresses) == MAX_ADDRESSES


def test_names_cover_fewer_names() -> None:
    here = host_names("lab", ("192.0.2.7",))
    assert here.covers(host_names("lab", ()))
    assert not host_names("lab", ()).covers(here)
    assert not here.covers(HostNames(("other",), ()))


def test_this_machine_has_a_loopback_address() -> None:
    assert "127.0.0.1" in map(str, lan_names().addresses)
