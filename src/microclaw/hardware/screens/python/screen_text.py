"""What the displays of microclaw.screen have in common: lines that fit, numbers as text, and texts that move.

Places and sizes are in pixels, or in characters on a display of characters; `cell` is the edge of a character in them.
"""

DEGREE = "\u00b0"
_GAP = "   "
_NO_VALUE = "--"


class Layout:
    """A display whose `_begin` clears the picture, `_put` writes a line into it and `_end` shows it."""

    def __init__(self, width, height, cell, sizes):
        self._width = width
        self._height = height
        self._cell = cell
        self._sizes = sizes
        self._moved = ""
        self._step = 0

    def clear(self):
        self._begin()
        self._end()

    def text(self, *lines):
        """Show the lines centred and as large as they fit; what does not fit at size 1 is left out.

        A single line is wrapped. Several lines stay as they are if they fit so.
        """
        text = "\n".join(lines)
        rows = None
        if len(lines) > 1:
            rows, size = self._fitted(text, len(lines))
        if rows is None:
            rows, size = self._fitted(text, self._height)
        if rows is None:
            size = 1
            rows = wrapped(text, self._width // self._cell, True)
        edge = self._cell * size
        rows = rows[: self._height // edge]
        y = (self._height - len(rows) * edge) // 2
        self._begin()
        for row in rows:
            self._put_centred(row, y, size)
            y += edge
        self._end()

    def _fitted(self, text, most_rows):
        """Return the rows of a text with its largest size in which it fits; None if there is none."""
        for size in range(self._sizes, 0, -1):
            edge = self._cell * size
            rows = wrapped(text, self._width // edge, False)
            if rows is not None and len(rows) <= min(most_rows, self._height // edge):
                return rows, size
        return None, 0

    def scroll(self, text):
        """Show the next step of a text that moves to the left; a text that fits stands still."""
        rows = self._height // self._cell
        columns = self._width // self._cell
        size = max(1, min(self._sizes, rows // 2, columns // 8))
        columns //= size
        if len(text) <= columns:
            self.text(text)
            return
        if text != self._moved:
            self._moved = text
            self._step = 0
        tape = plain(text) + _GAP
        window = whole_numbers(tape + tape, self._step, self._step + columns)
        self._step = (self._step + 1) % len(tape)
        self._begin()
        self._put(window, 0, (self._height - self._cell * size) // 2, size)
        self._end()

    def _put_centred(self, text, y, size):
        self._put(text, (self._width - len(text) * self._cell * size) // 2, y, size)


def number_text(value):
    """Return a number as it is shown: a float has one digit after its point."""
    if value is None:
        return _NO_VALUE
    if not isinstance(value, float):
        return str(value)
    text = "%.1f" % value
    if text == "-0.0":
        return "0.0"
    return text


def percent_of(value):
    return max(0, min(100, int(value + 0.5)))


def joined(first, second, columns):
    """Return a number and its unit, or a label and a number, in one line: without room for both, the number alone.

    The first one of both is the number if it has a digit. A number without room becomes dashes.
    """
    line = (plain(first) + " " + plain(second)).strip()
    if len(line) > columns:
        line = plain(first)
        if second and has_digit(second):
            line = plain(second)
    if len(line) > columns:
        return "-" * columns
    return line


def wrapped(text, columns, may_break):
    """Return the lines of a text. If a word is longer than a line, None, or its pieces; a number becomes dashes."""
    lines = []
    for paragraph in plain(text).split("\n"):
        line = ""
        for word in paragraph.split():
            if len(word) > columns:
                if not may_break:
                    return None
                if has_digit(word):
                    word = "-" * columns
            if line and len(line) + 1 + len(word) > columns:
                lines.append(line)
                line = ""
            if line:
                line += " "
            line += word
            while len(line) > columns:
                lines.append(line[:columns])
                line = line[columns:]
        lines.append(line)
    return lines


def whole_numbers(text, begin, end):
    """Return a piece of a text, with spaces in the place of a number that is cut at its ends."""
    window = text[begin:end]
    head = (window + " ").find(" ")
    if begin and text[begin - 1] != " " and has_digit(window[:head]):
        window = " " * head + window[head:]
    tail = window.rfind(" ") + 1
    if text[end : end + 1] not in ("", " ") and has_digit(window[tail:]):
        window = window[:tail]
    return window


def has_digit(text):
    for character in text:
        if "0" <= character <= "9":
            return True
    return False


def plain(text):
    """Return a text with ? for each character that the fonts lack: they have ASCII and the degree sign."""
    characters = []
    for character in text:
        is_shown = character == "\n" or character == DEGREE or " " <= character <= "~"
        if not is_shown:
            character = "?"
        characters.append(character)
    return "".join(characters)


def mirrored(byte):
    """Return a byte with its bits in the other order."""
    other = 0
    for _ in range(8):
        other = other << 1 | byte & 1
        byte >>= 1
    return other
