"""Bech32 with the vectors of BIP 173 and of age's specification."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microclaw.bech32 import decode_bech32, encode_bech32

WORD = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"  # c2sp.org/age, the X25519 recipient


def test_the_word_of_ages_specification_is_read_and_written() -> None:
    raw = decode_bech32("age", WORD)
    assert len(raw) == 32
    assert encode_bech32("age", raw) == WORD
    assert decode_bech32("age", WORD.upper()) == raw
    assert encode_bech32("a", b"") == "a12uel5l"  # BIP 173


@given(st.binary(max_size=80), st.sampled_from(["age", "age-secret-key-", "x1y"]))
def test_what_is_written_is_read(data: bytes, prefix: str) -> None:
    assert decode_bech32(prefix, encode_bech32(prefix, data)) == data


@given(st.integers(4, len(WORD) - 1), st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7l"))
def test_a_letter_that_is_wrong_is_found(place: int, letter: str) -> None:
    wrong = WORD[:place] + letter + WORD[place + 1 :]
    if wrong != WORD:
        with pytest.raises(ValueError, match="checksum"):
            decode_bech32("age", wrong)


@pytest.mark.parametrize(
    "text",
    ["", "age1qqqq", WORD[:-1], WORD[:30].upper() + WORD[30:], WORD.replace("age", "agf")],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="it"):
        decode_bech32("age", text)
