"""JSON and text from other people's servers, bounded. MicroPython's json knows neither surrogate pairs nor a depth."""

import json

MAX_DEPTH = 24


def loads(data):
    """What JSON bytes in UTF-8 say. ValueError for anything else, for what is nested too deep to be sent on, and for a
    number that is too large to be one (1e999): `inf` is no JSON."""
    text = str(data, "utf-8")
    _check_depth(text)
    return _joined(json.loads(text))


def _check_depth(text):
    """Brackets in texts count too, so a text full of them is refused: nobody is harmed."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth, quoted, at, size = 0, False, 0, len(text)
    while at < size:
        sign = text[at]
        if sign == "\\":
            at += 1
        elif sign == '"':
            quoted = not quoted
        elif not quoted:
            if sign in "[{":
                depth += 1
                if depth > MAX_DEPTH:
                    raise ValueError("JSON nested deeper than {}".format(MAX_DEPTH))
            elif sign in "]}":
                depth -= 1
        at += 1


def _joined(value):
    """The same with each pair of surrogates (\\ud83d\\ude00) as the one character that it means."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_joined(member) for member in value]
    if isinstance(value, dict):
        return {clean(name): _joined(value[name]) for name in value}
    if isinstance(value, float) and value - value != 0:  # inf, nan
        raise ValueError("a number too large")
    return value


def clean(text):
    """Text whose bytes are UTF-8: pairs are joined, a lone half becomes a question mark."""
    raw = text.encode()
    if raw.find(b"\xed") < 0:
        return text
    whole, at = bytearray(), 0
    while at < len(raw):
        first = _surrogate(raw, at)
        if first is None:
            whole.append(raw[at])
            at += 1
            continue
        second = _surrogate(raw, at + 3)
        at += 3
        if first < 0xDC00 and second is not None and second >= 0xDC00:
            whole.extend(chr(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)).encode())
            at += 3
        else:
            whole.extend(b"?")
    return str(whole, "utf-8")


def _surrogate(raw, at):
    """The code of the half that begins there, or None."""
    if at + 2 < len(raw) and raw[at] == 0xED and raw[at + 1] >= 0xA0:
        return 0xD000 | (raw[at + 1] & 0x3F) << 6 | raw[at + 2] & 0x3F
    return None


def cut(text, most_bytes):
    """At most so many bytes of it, whole characters."""
    raw = text.encode()
    if len(raw) <= most_bytes:
        return text
    while most_bytes and raw[most_bytes] & 0xC0 == 0x80:
        most_bytes -= 1
    return str(raw[:most_bytes], "utf-8")
