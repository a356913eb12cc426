"""What is wrong with a program's HTTP answer, in words that the trial and the host share. It reads no whole answer."""

from __future__ import annotations

_SHOWN_BYTES = 40


def answer_fault(answer: bytes, *, has_head: bool) -> str:
    """Return why these bytes are no whole HTTP answer.

    `answer` has at least their beginning; `has_head`: the head was read, and only the body is wrong.
    """
    if not answer:
        return "it sent nothing"
    if has_head:
        return "its body ends too early"
    if not answer.startswith(b"HTTP/1."):
        beginning = answer[:_SHOWN_BYTES].decode("utf-8", "replace")
        first_line = beginning.partition("\n")[0].strip()
        return f"it begins with {first_line!r}, not with HTTP/1.1 and a status"
    if b"\r\n\r\n" not in answer and b"\n\n" not in answer:
        return "no empty line ends its head"
    return "a line of its head is not HTTP"
