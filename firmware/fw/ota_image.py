"""The head of an ESP32 application image. Reads no file.

CPython and MicroPython run this same file (docs/protocols/ota.md); on a board it is read in when an image is whole.
"""

from ota_bad import BadPayload

IMAGE_HEAD_BYTES = 288
# "esp_image_header_t" and "esp_app_desc_t" of ESP-IDF, "Application Image Format"
_IMAGE_MAGIC = 0xE9
_APP_MAGIC = 0xABCD5432
_CHIPS = {0: "esp32", 2: "esp32s2", 5: "esp32c3", 9: "esp32s3", 13: "esp32c6"}


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


def _little(data, at, size):
    return int.from_bytes(data[at : at + size], "little")


def _text(field):
    return "".join([chr(letter) for letter in field.split(b"\x00")[0] if 32 <= letter < 127])
