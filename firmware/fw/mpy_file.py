"""Checks that a .mpy file is whole, by its own lengths. Loaded for an install.

MicroPython's loader (1.25) reads 0xff beyond the end of a file: a file that was cut hangs the chip forever
there. The format is that of MicroPython's documentation, "MicroPython .mpy files", version 6. What the code does is
not checked: a host that sends crafted code owns the board (docs/decisions/0036-micropython-firmware.md).
"""

from micropython import const

_MAX_DEPTH = const(16)
_MAX_BYTES = const(1 << 20)
# Of the third byte: the architecture of native code.
_NATIVE = const(0xFC)
_CUT = "it ends early"


def fault(path):
    """Return why the file is not whole, or None if it is.

    Files with native code have a layout of their own and are accepted as they are.
    """
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(4)
        if len(head) < 4 or head[0] != 77:
            return "it is no .mpy file"
        if head[1] != 6 or head[2] & _NATIVE:
            return None
        try:
            names = _number(file)
            objects = _number(file)
            if names + objects > size:
                return _CUT
            for _ in range(names):
                length = _number(file)
                # An odd length means one of MicroPython's own names.
                if not length & 1:
                    _skip(file, (length >> 1) + 1, size)
            for _ in range(objects):
                _object(file, size, _MAX_DEPTH)
            _code(file, size, _MAX_DEPTH)
        except ValueError as exc:
            return str(exc)


def _number(file):
    value = 0
    while value < _MAX_BYTES:
        byte = file.read(1)
        if not byte:
            break
        value = value << 7 | byte[0] & 127
        if byte[0] < 128:
            return value
    raise ValueError(_CUT)


def _skip(file, length, size):
    if file.tell() + length > size:
        raise ValueError(_CUT)
    file.seek(length, 1)


def _object(file, size, depth):
    """Skip a constant: 1-4 are None, False, True and ...; 5 and 6 text and bytes, 7-9 numbers, 10 a tuple."""
    kind = file.read(1)
    if not kind or not depth:
        raise ValueError(_CUT)
    if kind[0] == 10:
        for _ in range(min(_number(file), size)):
            _object(file, size, depth - 1)
    elif kind[0] > 4:
        _skip(file, _number(file) + (kind[0] < 7), size)


def _code(file, size, depth):
    """Skip a function's code: its length and whether it contains functions, the code, those functions."""
    if not depth:
        raise ValueError("its functions are too deep in each other")
    head = _number(file)
    _skip(file, head >> 3, size)
    if head & 4:
        for _ in range(_number(file)):
            _code(file, size, depth - 1)
