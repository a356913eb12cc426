"""Makes untrusted text safe for the cable. Loaded for each text, and dropped afterwards."""


def shown(text, kept=b""):
    """Return untrusted text for printing: without what steers a terminal (C0, C1), forges a line or turns it round.

    It works on bytes: a text's characters, looked at singly, stay in memory forever. `kept` are allowed controls.
    """
    data = bytearray(text.encode())
    before = last = 0
    for at, byte in enumerate(data):
        if (byte < 32 and byte not in kept) or byte == 127:
            data[at] = 32 if byte in b"\t\n\r" else 63
        elif last == 0xC2 and byte < 0xA0:
            data[at - 1 : at + 1] = b"??"
        elif before == 0xE2 and last == 0x80 and 0xA8 <= byte < 0xAF:
            data[at - 2 : at + 1] = b"???"
        elif before == 0xE2 and last == 0x81 and 0xA6 <= byte < 0xAA:
            data[at - 2 : at + 1] = b"???"
        before = last
        last = byte
    return str(data, "utf-8")
