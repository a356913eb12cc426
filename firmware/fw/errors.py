"""The answer to a call that cannot be done."""


class CallError(Exception):
    """`code` is one of docs/protocols/link-methods.md, `message` is for a person."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message
