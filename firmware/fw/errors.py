"""The answer to a call that cannot be done."""


class Squeezed(MemoryError):
    """The board's memory is short, by no fault of who meets it."""


class CallError(Exception):
    """`code` is one of docs/protocols/link-methods.md, `message` is for a person."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code
        self.message = message
