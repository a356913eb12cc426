"""Bech32 (BIP 173) without its limit on length: bytes as a word whose checksum shows typing errors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

MAX_CHARS: Final = 256
_CHARSET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM: Final = 6


def encode_bech32(prefix: str, data: bytes) -> str:
    """Return the word in lower case; `prefix` names its kind."""
    values = _regroup(data, 8, 5, pad=True)
    rest = _polymod([*_expanded(prefix), *values, *[0] * _CHECKSUM]) ^ 1
    for place in range(_CHECKSUM):
        values.append(rest >> 5 * (_CHECKSUM - 1 - place) & 31)
    return f"{prefix}1{''.join(_CHARSET[value] for value in values)}"


def decode_bech32(prefix: str, text: str) -> bytes:
    """Return the bytes of a word with this prefix, all lower or all upper case. Raises ValueError."""
    word = text.lower()
    if len(text) > MAX_CHARS or text not in (word, text.upper()):
        raise ValueError("it is too long, or mixes lower and upper case")
    head, _, tail = word.rpartition("1")
    if head != prefix or len(tail) < _CHECKSUM or not set(tail) <= set(_CHARSET):
        raise ValueError(f"it is not {prefix}1... of the letters {_CHARSET}")
    values = [_CHARSET.index(char) for char in tail]
    if _polymod([*_expanded(prefix), *values]) != 1:
        raise ValueError("its checksum is wrong: it has a typing error")
    return bytes(_regroup(values[:-_CHECKSUM], 5, 8, pad=False))


def _polymod(values: Iterable[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, factor in enumerate(_GENERATOR):
            if top >> bit & 1:
                check ^= factor
    return check


def _expanded(prefix: str) -> list[int]:
    return [ord(char) >> 5 for char in prefix] + [0] + [ord(char) & 31 for char in prefix]


def _regroup(data: Iterable[int], have: int, want: int, *, pad: bool) -> list[int]:
    """Regroup numbers of `have` bits to numbers of `want` bits. Raises ValueError if more than padding is left."""
    buffer = 0
    count = 0
    groups: list[int] = []
    for value in data:
        buffer = buffer << have | value
        count = count + have
        while count >= want:
            count -= want
            groups.append(buffer >> count & (1 << want) - 1)
        buffer &= (1 << count) - 1
    if pad and count:
        groups.append(buffer << want - count & (1 << want) - 1)
    elif not pad and (count >= have or buffer):
        raise ValueError("its last letter is wrong")
    return groups
