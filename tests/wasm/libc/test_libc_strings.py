"""String, character, sorting and division functions give what the host's give, or what their manual says."""

from __future__ import annotations

import ctypes
import functools
import struct
from typing import Any

import pytest
import wasmtime
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.wasm.libc.conftest import HostLibc, Libc

texts = st.text("abcAB,; xyz", max_size=12).map(str.encode)
chars = st.sampled_from(b"abcAB,; z\0")
ROOM = 64
INT_MAX, INT_MIN = 2**31 - 1, -(2**31)


def offset(address: int | None, base: int) -> int | None:
    return address - base if address else None


def host_call(host: HostLibc, name: str, *arguments: Any) -> tuple[int | None, bytes]:
    """Call a function whose first argument is a text that it may change: where the result points, and the text then."""
    room = ctypes.create_string_buffer(arguments[0], ROOM)
    function = getattr(host.c, name)
    function.restype = ctypes.c_void_p
    result = function(ctypes.c_void_p(ctypes.addressof(room)), *arguments[1:])
    return offset(result, ctypes.addressof(room)), room.raw


def our_call(libc: Libc, name: str, *arguments: Any) -> tuple[int | None, bytes]:
    libc.forget()
    room = libc.place(arguments[0].ljust(ROOM, b"\0"))
    result = libc.call(name, room, *arguments[1:])
    return offset(result, room), libc.bytes_at(room, ROOM)


@pytest.mark.parametrize("name", ["strcat", "strpbrk", "strcasestr", "stpcpy"])
@settings(deadline=None)
@given(a=texts, b=texts)
def test_functions_of_two_texts(shared_libc: Libc, host: HostLibc, name: str, a: bytes, b: bytes) -> None:
    assert our_call(shared_libc, name, a, b) == host_call(host, name, a, b)


@pytest.mark.parametrize("name", ["strrchr", "rindex", "index"])
@settings(deadline=None)
@given(a=texts, c=chars)
def test_functions_of_text_and_character(shared_libc: Libc, host: HostLibc, name: str, a: bytes, c: int) -> None:
    assert our_call(shared_libc, name, a, c) == host_call(host, name, a, c)


@settings(deadline=None)
@given(a=texts, c=chars, n=st.integers(0, 12), b=texts)
def test_functions_with_a_length(shared_libc: Libc, host: HostLibc, a: bytes, c: int, n: int, b: bytes) -> None:
    assert our_call(shared_libc, "strncat", a, b, n) == host_call(host, "strncat", a, b, n)
    assert our_call(shared_libc, "memrchr", a, c, n) == host_call(host, "memrchr", a, c, n)
    assert our_call(shared_libc, "memmem", a, len(a), b, len(b)) == host_call(host, "memmem", a, len(a), b, len(b))
    assert our_call(shared_libc, "mempcpy", a, b, len(b)) == host_call(host, "mempcpy", a, b, len(b))
    shared_libc.forget()
    assert shared_libc.call("strnlen", a, n) == min(len(a), n)
    assert shared_libc.text_at(shared_libc.call("strndup", a, n)) == a[:n]


@pytest.mark.parametrize("name", ["strcasecmp", "strcoll"])
@settings(deadline=None)
@given(a=texts, b=texts)
@example(b"abc", b"ab\xe4")
def test_comparisons_have_the_hosts_sign(shared_libc: Libc, host: HostLibc, name: str, a: bytes, b: bytes) -> None:
    shared_libc.forget()
    ours, theirs = shared_libc.call(name, a, b), getattr(host.c, name)(a, b)
    assert (ours > 0) - (ours < 0) == (theirs > 0) - (theirs < 0)


@settings(deadline=None)
@given(text=texts, separators=st.sampled_from([b",", b", ;", b"", b"xyz"]))
def test_strtok_gives_the_hosts_tokens(shared_libc: Libc, host: HostLibc, text: bytes, separators: bytes) -> None:
    for name in ("strtok", "strtok_r"):
        room = ctypes.create_string_buffer(text, ROOM)
        function = getattr(host.c, name)
        function.restype = ctypes.c_char_p
        rest = ctypes.c_void_p()
        theirs = [function(room, separators, ctypes.byref(rest))]
        while theirs[-1] is not None:
            theirs.append(function(None, separators, ctypes.byref(rest)))
        shared_libc.forget()
        place, keep = shared_libc.place(text), [shared_libc.place(bytes(4))] * (name == "strtok_r")
        ours = [shared_libc.call(name, place, separators, *keep)]
        while ours[-1]:
            ours[-1] = shared_libc.text_at(ours[-1])
            ours.append(shared_libc.call(name, 0, separators, *keep))
        assert ours[:-1] == theirs[:-1]


@settings(deadline=None)
@given(text=texts)
def test_strsep_gives_empty_tokens_too(shared_libc: Libc, text: bytes) -> None:
    shared_libc.forget()
    rest = shared_libc.place(bytes(4))
    shared_libc.set_int(rest, shared_libc.place(text))
    tokens = []
    while token := shared_libc.call("strsep", rest, b",;"):
        tokens.append(shared_libc.text_at(token))
    assert tokens == text.replace(b";", b",").split(b",")


@settings(deadline=None)
@given(a=texts, b=texts, size=st.integers(0, 20))
def test_strlcpy_and_strlcat_cut_and_tell_the_length_wanted(shared_libc: Libc, a: bytes, b: bytes, size: int) -> None:
    shared_libc.forget()
    room = shared_libc.place(b"\xaa" * 40)
    assert shared_libc.call("strlcpy", room, a, size) == len(a)
    kept = a[: size - 1] + b"\0" if size else b""
    assert shared_libc.bytes_at(room, 40) == kept + b"\xaa" * (40 - len(kept))
    shared_libc.forget()
    room = shared_libc.place(a.ljust(40, b"\0"))
    assert shared_libc.call("strlcat", room, b, size) == min(len(a), size) + len(b)
    joined = (a + b)[: size - 1] if size > len(a) else a
    assert shared_libc.bytes_at(room, 40) == joined.ljust(40, b"\0")


@settings(deadline=None)
@given(data=st.binary(min_size=20, max_size=20), start=st.integers(0, 10), to=st.integers(0, 10), n=st.integers(0, 10))
def test_bytes_of_the_old_names(shared_libc: Libc, data: bytes, start: int, to: int, n: int) -> None:
    shared_libc.forget()
    room = shared_libc.place(data)
    shared_libc.call("bcopy", room + start, room + to, n)
    moved = bytearray(data)
    moved[to : to + n] = data[start : start + n]
    assert shared_libc.bytes_at(room, 20) == moved
    assert (shared_libc.call("bcmp", room, data, 20) == 0) == (bytes(moved) == data)
    shared_libc.call("bzero", room + start, n)
    moved[start : start + n] = bytes(n)
    assert shared_libc.bytes_at(room, 20) == moved


@pytest.mark.parametrize("name", ["islower", "ispunct", "iscntrl", "isblank", "isascii"])
def test_characters_are_classed_as_on_the_host(libc: Libc, host: HostLibc, name: str) -> None:
    for c in range(-1, 256):
        assert bool(libc.call(name, c)) == bool(getattr(host.c, name)(c)), c


@settings(deadline=None)
@given(value=st.integers(INT_MIN, INT_MAX), by=st.integers(INT_MIN, INT_MAX).filter(bool))
@example(INT_MIN, 2)
def test_absolute_values_and_divisions(shared_libc: Libc, value: int, by: int) -> None:
    shared_libc.forget()
    for name in ("abs", "labs"):
        assert shared_libc.call(name, value) & 0xFFFFFFFF == abs(value)
    for name in ("llabs", "imaxabs"):
        assert shared_libc.call(name, value * 2**31) & (2**64 - 1) == abs(value * 2**31)
    if (value, by) != (INT_MIN, -1):
        quotient = abs(value) // abs(by) * (1 if (value < 0) == (by < 0) else -1)
        room = shared_libc.place(bytes(16))
        for name, form in (("div", "<ii"), ("ldiv", "<ii"), ("lldiv", "<qq"), ("imaxdiv", "<qq")):
            shared_libc.call(name, room, value, by)
            found = struct.unpack(form, shared_libc.bytes_at(room, struct.calcsize(form)))
            assert found == (quotient, value - quotient * by)


def with_comparison(libc: Libc, size: int) -> int:
    """Put a comparison of the first `size` bytes into the module's function table; its place there."""
    table = libc.exports["__indirect_function_table"]
    assert isinstance(table, wasmtime.Table)

    def compare(a: int, b: int) -> int:
        x, y = libc.bytes_at(a, size), libc.bytes_at(b, size)
        return (x > y) - (x < y)

    kind = wasmtime.FuncType([wasmtime.ValType.i32(), wasmtime.ValType.i32()], [wasmtime.ValType.i32()])
    function = wasmtime.Func(libc.store, kind, compare)
    return table.grow(libc.store, 1, function)


@pytest.fixture(scope="session")
def comparisons(libc_module: Any) -> tuple[Libc, dict[int, int]]:
    libc = Libc(libc_module)
    return libc, {size: with_comparison(libc, size) for size in (1, 2, 4, 7, 12)}


@settings(max_examples=120, deadline=None)
@given(data=st.binary(max_size=240), size=st.sampled_from([1, 2, 4, 7, 12]), key=st.binary(min_size=12, max_size=12))
def test_qsort_sorts_and_bsearch_finds(
    comparisons: tuple[Libc, dict[int, int]], data: bytes, size: int, key: bytes
) -> None:
    libc, compare = comparisons
    libc.forget()
    items = [data[i : i + size] for i in range(0, len(data) - size + 1, size)]
    room = libc.place(b"".join(items))
    libc.call("qsort", room, len(items), size, compare[size])
    assert libc.bytes_at(room, size * len(items)) == b"".join(sorted(items))
    for wanted in {*items[:5], key[:size]}:
        place = libc.call("bsearch", wanted, room, len(items), size, compare[size])
        assert (libc.bytes_at(place, size) == wanted) if wanted in items else place == 0


def test_qsort_of_sorted_input_is_not_slow(comparisons: tuple[Libc, dict[int, int]]) -> None:
    libc, compare = comparisons
    libc.forget()
    room = libc.place(b"".join(n.to_bytes(4, "big") for n in range(2000)))
    calls = 0
    read = libc.bytes_at

    def counted(address: int, size: int) -> bytes:
        nonlocal calls
        calls += 1
        return read(address, size)

    libc.bytes_at = functools.wraps(read)(counted)  # type: ignore[method-assign]
    libc.call("qsort", room, 2000, 4, compare[4])
    del libc.bytes_at
    assert calls < 2 * 2 * 2000 * 12


def test_random_numbers_repeat_by_seed_and_fill_31_bits(libc: Libc) -> None:
    libc.call("srandom", 7)
    first = [libc.call("random") for _ in range(200)]
    libc.call("srandom", 7)
    assert first == [libc.call("random") for _ in range(200)]
    assert len(set(first)) == 200
    assert min(first) >= 0
    assert max(first) > 2**30
    seed = libc.place(bytes(4))
    assert len({libc.call("rand_r", seed) for _ in range(200)}) == 200


@pytest.mark.parametrize(
    ("name", "here", "there"),
    [("EINVAL", 28, 22), ("ENOENT", 44, 2), ("EBUSY", 10, 16), ("ERANGE", 68, 34), ("ENOMEM", 48, 12)],
)
def test_errors_have_the_hosts_words(libc: Libc, host: HostLibc, name: str, here: int, there: int) -> None:
    host.c.strerror.restype = ctypes.c_char_p
    assert libc.text_at(libc.call("strerror", here)) == host.c.strerror(there)


def test_an_unknown_error_is_told_by_its_number(libc: Libc) -> None:
    assert libc.text_at(libc.call("strerror", 12345)) == b"Unknown error 12345"
    assert libc.text_at(libc.call("strerror", INT_MIN)) == b"Unknown error -2147483648"


def test_console_functions_of_stdio(libc: Libc) -> None:
    assert libc.call("fputs", b"text\n", 1) >= 0
    assert libc.call("fputc", 0x141, 2) == 0x41
    assert libc.call("putc", 66, 1) == 66
    assert libc.call("fwrite", b"abc\0def", 1, 7, 1) == 7
    assert libc.call("fflush", 1) == libc.call("ferror", 1) == libc.call("setvbuf", 1, 0, 2, 0) == 0
    assert libc.printed == b"text\nABabc\0def"


def test_nanosleep_refuses_what_is_no_time(libc: Libc) -> None:
    assert libc.call("nanosleep", struct.pack("<qi4x", 1, 500), 0) == 0
    libc.errno = 0
    assert libc.call("nanosleep", struct.pack("<qi4x", 0, 1_000_000_000), 0) == -1
    assert libc.errno == 28


def test_micros_wraps_as_an_unsigned_long(libc: Libc) -> None:
    assert libc.call("micros") & 0xFFFFFFFF == 5_000_000_123 & 0xFFFFFFFF
