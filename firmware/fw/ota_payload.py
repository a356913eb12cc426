"""The parts of a bundle: the members of a tar. Reads no file.

CPython and MicroPython run this same file (docs/protocols/ota.md); a board loads it when a payload is whole.
"""

from ota_bad import BadPayload

BLOCK = 512
MAX_MEMBERS = 256
MAX_NAME_CHARS = 81
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"


class TarReader:
    """The members of a tar that is read from its start: give it each header, skip what it says, until it is `over`.

        while not tar.over: member = tar.member(file.read(512)); if member: name, size = member; ...

    After the content follows padding up to the next 512 bytes. `total` is the whole payload's size.
    """

    def __init__(self, total):
        # A line each: 60 texts would take three times as much.
        self.names = "\n"
        self._count = 0
        self.over = False
        self._left = total
        self._zeros = 0
        if total % BLOCK:
            raise BadPayload("wrong_size", "%d bytes are no whole blocks" % total)

    def member(self, header):
        """Return (name, size), or None for a block of the end mark; BadPayload for a header that no bundle has."""
        self._left -= BLOCK
        if len(header) != BLOCK or self._left < 0:
            raise BadPayload("wrong_size", "it ends inside of a member")
        if not any(header):
            self._zeros += 1
            self.over = not self._left
            if self.over and self._zeros < 2:
                raise BadPayload("wrong_size", "it has no end mark")
            return None
        if self._zeros:
            raise BadPayload("bad_bundle", "something behind the end mark")
        name, size = self._read(header)
        self._left -= padded(size)
        if self._left < 2 * BLOCK:
            raise BadPayload("wrong_size", "%s is longer than the bundle" % name)
        self.names += name + "\n"
        self._count += 1
        return name, size

    def _read(self, header):
        end = header.find(b"\x00")
        # Bytes: MicroPython keeps each letter that it takes out of a text forever.
        parts = header[: max(0, end)].split(b"/")
        _expect(header[257:263] == b"ustar\x00" and header[263:265] == b"00", "no ustar")
        _expect(_octal(header[148:156]) == sum(header) - sum(header[148:156]) + 8 * 32, "a header's checksum")
        _expect(1 <= end <= MAX_NAME_CHARS and not any(header[end:100]), "a name of no or too many letters")
        # Plain, or in one folder with a plain name (the agent's modules are in one); nothing hidden.
        plain = len(parts) <= 2 and all(part and part[0] not in b".-" for part in parts)
        _expect(plain and all(letter in _LETTERS for letter in b"".join(parts)), "a name that is not plain")
        name = str(header[:end], "ascii")
        _expect(header[156:157] == b"0" and not any(header[157:257]), name + " is no plain file")
        _expect(not any(header[345:512]), name + " has a folder before it")
        # A file system without cases would have one file; a file and a folder cannot have the same name.
        names = self.names.lower()
        lower = "\n" + name.lower()
        twice = lower + "\n" in names or lower + "/" in names or ("/" in name and lower.split("/")[0] + "\n" in names)
        _expect(not twice, name + " is there twice")
        _expect(self._count < MAX_MEMBERS, "more than %d members" % MAX_MEMBERS)
        return name, _octal(header[124:136])


def padded(size):
    return (size + BLOCK - 1) // BLOCK * BLOCK


def _octal(field):
    digits = field.rstrip(b" \x00")
    _expect(digits and all(0x30 <= digit <= 0x37 for digit in digits), "a number that is not octal")
    return int(digits, 8)


def _expect(holds, words):
    if not holds:
        raise BadPayload("bad_bundle", words)
