"""The messages for a payload that is not taken: apart from those who say it, so that they can be given back."""


class BadPayload(Exception):
    """A bad payload: `code` is `bad_bundle`, `bad_image`, `wrong_size` or `wrong_hash`; `words` are for people."""

    def __init__(self, code, words):
        super().__init__(code, words)
        self.code = code
        self.words = words
