"""What an update's payload is made of: members of a tar, the head of an ESP32 image. Reads no file.

CPython and MicroPython run this same file (docs/protocols/ota.md); on a board it is read in when a payload is whole.
"""

BLOCK = 512
MAX_MEMBERS = 256
MAX_NAME_CHARS = 81
IMAGE_HEAD_BYTES = 288
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
# "esp_image_header_t" and "esp_app_desc_t" of ESP-IDF, "Application Image Format"
_IMAGE_MAGIC = 0xE9
_APP_MAGIC = 0xABCD5432
_CHIPS = {0: "esp32", 2: "esp32s2", 5: "esp32c3", 9: "esp32s3", 13: "esp32c6"}


class BadPayload(Exception):
    """`code` is `bad_bundle`, `bad_image` or `wrong_size`; `words` are for people."""

    def __init__(self, code, words):
        super().__init__(code, words)
        self.code = code
        self.words = words


class TarReader:
    """The members of a tar that is read from its start: give it each header, skip what it says, until it is `over`.

        while not tar.over: member = tar.member(file.read(512)); if member: name, size = member; ...

    After the content follows padding up to the next 512 bytes. `total` is the whole payload's size.
    """

    def __init__(self, total):
        self.names = []
        self.over = False
        self._left = total
        self._zeros = 0
        if total % BLOCK:
            raise BadPayload("wrong_size", "%d bytes are no whole blocks" % total)

    def member(self, header):
        """(name, size), or None for a block of the end mark; BadPayload for what a bundle never has."""
        self._left -= BLOCK
        if len(header) != BLOCK or self._left < 0:
            raise BadPayload("wrong_size", "it ends inside of a member")
        if header == bytes(BLOCK):
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
        self.names.append(name)
        return name, size

    def _read(self, header):
        if header[257:263] != b"ustar\x00" or header[263:265] != b"00":
            raise BadPayload("bad_bundle", "no ustar")
        spaced = header[:148] + b" " * 8 + header[156:]
        if _octal(header[148:156]) != sum(spaced):
            raise BadPayload("bad_bundle", "a header's checksum")
        name = _name(header[:100])
        if header[156:157] != b"0" or any(header[157:257]):
            raise BadPayload("bad_bundle", "%s is no plain file" % name)
        if any(header[345:512]):
            raise BadPayload("bad_bundle", "%s has a folder before it" % name)
        folder = name.split("/")[0]
        for other in self.names:
            # a file system without cases would have one file; a file and a folder cannot have one name
            if other.lower() == name.lower() or (folder != name and other == folder) or other.startswith(name + "/"):
                raise BadPayload("bad_bundle", "%s is there twice" % name)
        if len(self.names) >= MAX_MEMBERS:
            raise BadPayload("bad_bundle", "more than %d members" % MAX_MEMBERS)
        return name, _octal(header[124:136])


def padded(size):
    return (size + BLOCK - 1) // BLOCK * BLOCK


def image_facts(head, board):
    """(name, version, security_version) of an image for this chip, from its first 288 bytes."""
    if len(head) < IMAGE_HEAD_BYTES or head[0] != _IMAGE_MAGIC or not 1 <= head[1] <= 16:
        raise BadPayload("bad_image", "no ESP32 image")
    chip = _CHIPS.get(_little(head, 12, 2))
    if chip != board.split("-small")[0]:
        raise BadPayload("bad_image", "for %s" % (chip or "another chip"))
    if _little(head, 32, 4) != _APP_MAGIC:
        raise BadPayload("bad_image", "no description of the application")
    return _text(head[80:112]), _text(head[48:80]), _little(head, 36, 4)


def _name(field):
    """A plain name in ASCII, or one in a folder with a plain name (the agent's modules are in one); nothing hidden."""
    end = field.find(b"\x00")
    if not 1 <= end <= MAX_NAME_CHARS or any(field[end:]):
        raise BadPayload("bad_bundle", "a name of no or too many letters")
    name = "".join([chr(letter) for letter in field[:end]])
    parts = name.split("/")
    if len(parts) > 2 or not all(part and part[0] not in ".-" for part in parts):
        raise BadPayload("bad_bundle", "a name that is not plain")
    if not all(letter in _LETTERS for part in parts for letter in part):
        raise BadPayload("bad_bundle", "a name that is not plain")
    return name


def _octal(field):
    digits = field.rstrip(b" \x00")
    if not digits or not all(0x30 <= digit <= 0x37 for digit in digits):
        raise BadPayload("bad_bundle", "a number that is not octal")
    return int(digits, 8)


def _little(data, at, size):
    return int.from_bytes(data[at : at + size], "little")


def _text(field):
    return "".join([chr(letter) for letter in field.split(b"\x00")[0] if 32 <= letter < 127])
