"""The answer to a call that cannot be done."""


class Squeezed(MemoryError):
    """A shortage of the board's memory, which is not the fault of the program that meets it."""


class CallError(Exception):
    """A refused call: `code` is one of docs/protocols/link-methods.md, `message` is for a person."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code
        self.message = message
