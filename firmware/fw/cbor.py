"""CBOR as docs/protocols/link.md has it: definite lengths, text keys, no tags. ValueError for anything else. No IO."""

import struct

from micropython import const

_MAX_DEPTH = const(8)
_MAX_ITEMS = const(256)


def dumps(value, out=None):
    """Append `value` in CBOR to the bytearray `out`, and return it."""
    if out is None:
        out = bytearray()
    _write(out, value, _MAX_DEPTH)
    return out


def _head(out, major, n):
    major <<= 5
    if n < 24:
        out.append(major | n)
    elif n >> 63:
        raise ValueError("a number over 63 bits")
    else:
        width = (n > 0xFF) + (n > 0xFFFF) + (n > 0xFFFFFFFF)
        out.extend(struct.pack((">BB", ">BH", ">BI", ">BQ")[width], major | 24 + width, n))


def _write(out, value, depth):
    if value is None:
        out.append(0xF6)
    elif value is True or value is False:
        out.append(0xF5 if value else 0xF4)
    elif isinstance(value, int):
        if value >= 0:
            _head(out, 0, value)
        else:
            _head(out, 1, -1 - value)
    elif isinstance(value, float):
        if value - value != 0:
            raise ValueError("a number that is not finite")
        out.extend(struct.pack(">Bd", 0xFB, value))
    elif isinstance(value, str):
        data = value.encode()
        _head(out, 3, len(data))
        out.extend(data)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        _head(out, 2, len(value))
        out.extend(value)
    elif not isinstance(value, (list, tuple, dict)):
        raise ValueError("no CBOR of this page: {}".format(type(value)))
    elif len(value) > _MAX_ITEMS or not depth:
        raise ValueError("too long or too deep")
    elif isinstance(value, dict):
        _head(out, 5, len(value))
        for key in value:
            if not isinstance(key, str):
                raise ValueError("a key that is no text")
            _write(out, key, 0)
            _write(out, value[key], depth - 1)
    else:
        _head(out, 4, len(value))
        for member in value:
            _write(out, member, depth - 1)


def loads(data):
    """Return the single value that `data` encodes."""
    value, at = _read(data, 0, _MAX_DEPTH)
    if at != len(data):
        raise ValueError("bytes after the value")
    return value


def _read(data, at, depth):
    if at >= len(data):
        raise ValueError("it ends early")
    major = data[at] >> 5
    n = data[at] & 31
    at += 1
    if major == 7:
        return _simple(data, at, n)
    if n > 27:
        raise ValueError("no definite length")
    if n > 23:
        width = 1 << (n - 24)
        n = int.from_bytes(_bytes(data, at, width), "big")
        at += width
    if major < 2:
        if n >> 63:
            raise ValueError("a number over 63 bits")
        if major:
            n = -1 - n
        return n, at
    if major < 4:
        value = _bytes(data, at, n)
        if major == 3:
            value = str(value, "utf-8")
        return value, at + n
    if major == 6 or n > _MAX_ITEMS or not depth:
        raise ValueError("a tag, or too long or too deep")
    if major == 4:
        value = []
        for _ in range(n):
            member, at = _read(data, at, depth - 1)
            value.append(member)
        return value, at
    value = {}
    for _ in range(n):
        key, at = _read(data, at, 0)
        if not isinstance(key, str) or key in value:
            raise ValueError("a key that is no text, or twice there")
        value[key], at = _read(data, at, depth - 1)
    return value, at


def _bytes(data, at, n):
    if n > len(data) - at:
        raise ValueError("it ends early")
    return bytes(data[at : at + n])


def _simple(data, at, n):
    if 20 <= n <= 22:
        value = None
        if n < 22:
            value = n == 21
        return value, at
    if not 25 <= n <= 27:
        raise ValueError("an unknown simple value")
    width = 2 << (n - 25)
    raw = _bytes(data, at, width)
    # By its bits: what a double holds may be over the range of this chip's floats.
    top = raw[0] << 8 & 0x7F00 | raw[1]
    exponent = (0x7C00, 0x7F80, 0x7FF0)[n - 25]
    if top & exponent == exponent:
        raise ValueError("a number that is not finite")
    if n > 25:
        layout = ">f" if n == 26 else ">d"
        return struct.unpack(layout, raw)[0], at + width
    # Half precision (RFC 8949, appendix D).
    power = top >> 10
    fraction = top & 0x3FF
    if power:
        value = (fraction | 0x400) * 2.0 ** (power - 25)
    else:
        value = fraction * 2.0**-24
    if raw[0] & 0x80:
        value = -value
    return value, at + width
