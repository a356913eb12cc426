"""Calendar and dates as the host has them in UTC and the C locale."""

from __future__ import annotations

import ctypes
import struct
from typing import Any, ClassVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.wasm.libc.conftest import HostLibc, Libc

FIELDS = 9
seconds = st.one_of(
    st.integers(-(2**40), 2**40), st.integers(-(10**5), 10**5), st.integers(0, 4000).map(lambda n: n * 86400 - 1)
)


class Tm(ctypes.Structure):
    """glibc's struct tm."""

    _fields_: ClassVar[Any] = [
        *[(f"f{i}", ctypes.c_int) for i in range(FIELDS)],
        ("offset", ctypes.c_long),
        ("zone", ctypes.c_char_p),
    ]


def host_split(host: HostLibc, when: int) -> tuple[Tm, tuple[int, ...]]:
    tm = Tm()
    host.c.gmtime_r.restype = ctypes.c_void_p
    assert host.c.gmtime_r(ctypes.byref(ctypes.c_int64(when)), ctypes.byref(tm))
    return tm, tuple(getattr(tm, f"f{i}") for i in range(FIELDS))


def fields_at(libc: Libc, address: int) -> tuple[int, ...]:
    return struct.unpack("<9i", libc.bytes_at(address, 36))


@settings(max_examples=400, deadline=None)
@given(when=seconds)
@example(951782400)
@example(-62135596800)
@example(4107542400)
def test_seconds_become_the_hosts_date_and_back(shared_libc: Libc, host: HostLibc, when: int) -> None:
    shared_libc.forget()
    time, room = struct.pack("<q", when), shared_libc.place(bytes(36))
    assert shared_libc.call("gmtime_r", time, room) == room
    assert fields_at(shared_libc, room) == host_split(host, when)[1]
    for name in ("gmtime", "localtime"):
        assert fields_at(shared_libc, shared_libc.call(name, time)) == fields_at(shared_libc, room)
    for name in ("mktime", "timegm"):
        assert shared_libc.call(name, room) == when


@settings(max_examples=400, deadline=None)
@given(
    fields=st.tuples(
        *[st.integers(-200, 200)] * 3, st.integers(-4000, 4000), st.integers(-50, 50), st.integers(-2000, 3000)
    )
)
def test_fields_out_of_range_are_carried_as_by_the_host(
    shared_libc: Libc, host: HostLibc, fields: tuple[int, ...]
) -> None:
    tm = Tm(*fields, 0, 0, 0)
    host.c.timegm.restype = ctypes.c_int64
    theirs = host.c.timegm(ctypes.byref(tm))
    shared_libc.forget()
    room = shared_libc.place(struct.pack("<9i", *fields, 0, 0, 0))
    assert shared_libc.call("mktime", room) == theirs
    assert fields_at(shared_libc, room) == tuple(getattr(tm, f"f{i}") for i in range(FIELDS))


LETTERS = "aAbBcCdDeFgGhHIjklmMnpPrRStTuUVwWxXyY%"


@settings(max_examples=400, deadline=None)
@given(
    when=st.integers(-(2**33), 2**35), letters=st.lists(st.sampled_from(LETTERS), max_size=6), size=st.integers(0, 80)
)
def test_strftime_writes_what_the_host_writes(
    shared_libc: Libc, host: HostLibc, when: int, letters: list[str], size: int
) -> None:
    tm, fields = host_split(host, when)
    form = ("at " + " ".join(f"%{letter}" for letter in letters)).encode()
    room = ctypes.create_string_buffer(100)
    host.c.strftime.restype = ctypes.c_size_t
    count = host.c.strftime(room, ctypes.c_size_t(size), form, ctypes.byref(tm))
    shared_libc.forget()
    out = shared_libc.place(bytes(100))
    assert shared_libc.call("strftime", out, size, form, struct.pack("<9i", *fields)) == count
    if count:
        assert shared_libc.text_at(out) == room.value


@settings(deadline=None)
@given(when=st.integers(0, 2**35))
def test_asctime_and_ctime_write_the_hosts_line(shared_libc: Libc, host: HostLibc, when: int) -> None:
    tm, fields = host_split(host, when)
    room = ctypes.create_string_buffer(40)
    host.c.asctime_r(ctypes.byref(tm), room)
    shared_libc.forget()
    packed, out = struct.pack("<9i", *fields), shared_libc.place(bytes(26))
    shared_libc.call("asctime_r", packed, out)
    assert shared_libc.text_at(out) == room.value
    assert shared_libc.text_at(shared_libc.call("asctime", packed)) == room.value
    assert shared_libc.text_at(shared_libc.call("ctime", struct.pack("<q", when))) == room.value


def test_a_date_without_sense_is_written_without_harm(libc: Libc) -> None:
    broken = struct.pack("<9i", 99, 99, 99, 99, 99, 10**9, 99, 999, 0)
    out = libc.place(b"\xaa" * 40)
    libc.call("asctime_r", broken, out)
    assert libc.bytes_at(out + 26, 14) == b"\xaa" * 14
    assert len(libc.text_at(out)) <= 25
    libc.call("strftime", out, 40, b"%a %A %b %B", broken)
    assert libc.text_at(out) == b"? ? ? ?"


@pytest.mark.parametrize(("end", "begin"), [(10, 3), (3, 10), (2**40, 0)])
def test_difftime(libc: Libc, end: int, begin: int) -> None:
    assert libc.call("difftime", end, begin) == end - begin


def test_a_year_beyond_an_int_is_refused(libc: Libc) -> None:
    room = libc.place(bytes(36))
    assert libc.call("gmtime_r", struct.pack("<q", 2**62), room) == 0
