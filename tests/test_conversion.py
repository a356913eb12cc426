from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest
from msgspec import DecodeError, Struct, ValidationError

from microclaw.conversion import convert, decode_json, decode_msgpack

# Structs of structs that no call has read before, each read first by four threads at once.
MEET: Final = """
import sys
from threading import Barrier, Thread

from msgspec import defstruct

from microclaw.conversion import convert, decode_json, decode_msgpack

sys.setswitchinterval(1e-6)
for number in range(100):
    inner = defstruct(f"Inner{number}", [(f"number_{index}", int, 0) for index in range(40)])
    outer = defstruct(f"Outer{number}", [(f"inner_{index}", inner | None, None) for index in range(40)])
    together = Barrier(4)

    def read():
        together.wait()
        assert convert({"inner_1": {"number_1": 1}}, outer).inner_1.number_1 == 1
        assert decode_json(b'{"inner_1": {"number_1": 1}}', outer).inner_1.number_1 == 1
        assert decode_msgpack(b"\\x81\\xa7inner_1\\x80", outer).inner_1 == inner()

    threads = [Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


class Pair(Struct):
    left: int
    right: int = 0


def test_threads_that_meet_a_type_at_once_all_read_it() -> None:
    done = subprocess.run([sys.executable, "-c", MEET], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_does_not_fit_is_an_error_of_msgspec() -> None:
    assert convert({"left": "1"}, Pair, strict=False) == Pair(1)
    with pytest.raises(ValidationError, match="Expected `int`"):
        convert({"left": "1"}, Pair)
    with pytest.raises(ValidationError, match="missing required field `left`"):
        decode_json("{}", Pair)
    with pytest.raises(DecodeError):
        decode_msgpack(b"\xc1", Pair)
