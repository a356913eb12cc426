"""JSON that says one thing only: RFC 8259 to the letter, and no key twice. Reads bytes, writes nothing.

CPython and MicroPython run this same file. MicroPython's `json` takes a key twice, numbers with leading zeros, commas
at the end and text behind it; for what is signed, host and board must read the same.
"""

_MAX_DEPTH = 4


def loads(data):
    """The value in `data`, at most four levels deep; ValueError for anything else."""
    try:
        value, at = _value(data, _skip(data, 0), _MAX_DEPTH)
    except IndexError:
        raise ValueError("it ends early")
    if _skip(data, at) != len(data):
        raise ValueError("something behind its end")
    return value


# Each function takes the place where something begins, and gives the value and the place behind it


def _skip(data, at):
    while at < len(data) and data[at] in b" \t\n\r":
        at += 1
    return at


def _value(data, at, levels):
    first = data[at]
    if first == 0x22:
        return _text(data, at + 1)
    if first == 0x7B and levels:
        return _object(data, at + 1, levels - 1)
    if first == 0x5B and levels:
        return _array(data, at + 1, levels - 1)
    for word, value in ((b"true", True), (b"false", False), (b"null", None)):
        if data[at : at + len(word)] == word:
            return value, at + len(word)
    return _number(data, at)


def _object(data, at, levels):
    found = {}
    at = _skip(data, at)
    if data[at] == 0x7D:
        return found, at + 1
    while True:
        at = _skip(data, at)
        _expect(data[at] == 0x22)
        key, at = _text(data, at + 1)
        at = _skip(data, at)
        if key in found:
            raise ValueError("a key twice")
        _expect(data[at] == 0x3A)
        found[key], at = _value(data, _skip(data, at + 1), levels)
        at = _skip(data, at) + 1
        if data[at - 1] == 0x7D:
            return found, at
        _expect(data[at - 1] == 0x2C)


def _array(data, at, levels):
    found = []
    at = _skip(data, at)
    if data[at] == 0x5D:
        return found, at + 1
    while True:
        value, at = _value(data, _skip(data, at), levels)
        found.append(value)
        at = _skip(data, at) + 1
        if data[at - 1] == 0x5D:
            return found, at
        _expect(data[at - 1] == 0x2C)


def _text(data, at):
    text = ""
    while True:
        end = at
        while data[end] not in b'"\\':
            _expect(data[end] >= 32)
            end += 1
        text += str(data[at:end], "utf-8")
        if data[end] == 0x22:
            return text, end + 1
        escaped = data[end + 1]
        at = end + 2
        if escaped == 0x75:  # \uXXXX; half of a pair is no character, and nobody needs the pairs
            _expect(all(digit in b"0123456789abcdefABCDEF" for digit in data[at : at + 4]) and at + 4 < len(data))
            number = int(data[at : at + 4], 16)
            _expect(not 0xD800 <= number < 0xE000)
            text += chr(number)
            at += 4
        else:
            text += '"\\/\b\f\n\r\t'[b'"\\/bfnrt'.index(bytes([escaped]))]


def _number(data, at):
    begin = at
    at += data[at] == 0x2D
    first = at
    at = _digits(data, at)
    _expect(data[first] != 0x30 or at == first + 1)
    whole = True
    if data[at] == 0x2E:
        whole, at = False, _digits(data, at + 1)
    if data[at] in b"eE":
        whole, at = False, at + 1
        at = _digits(data, at + (data[at] in b"+-"))
    return (int(data[begin:at]) if whole else float(data[begin:at])), at


def _digits(data, at):
    begin = at
    while 0x30 <= data[at] <= 0x39:
        at += 1
    _expect(at > begin)
    return at


def _expect(holds):
    if not holds:
        raise ValueError("no JSON")
