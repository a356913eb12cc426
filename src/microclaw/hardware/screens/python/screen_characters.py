"""The layouts of microclaw.screen on displays of characters (lcd_api's drivers) and on digits of seven segments."""

from microclaw.screen_text import DEGREE, Layout, has_digit, joined, mirrored, number_text, percent_of, plain

# In the displays' own table.
_DEGREE_CODE = "\xdf"
_BLOCK = "\xff"
_LEVEL_COUNT = 8
# Segments a to g are bits 0 to 6, and bit 7 is the dot; a letter has one shape for both cases.
_SEGMENT_CHARACTERS = "0123456789abcdefghijlnoprstuz-_= \u00b0"
_SEGMENTS = (
    b"\x3f\x06\x5b\x4f\x66\x6d\x7d\x07\x7f\x6f\x77\x7c\x39\x5e\x79\x71\x3d\x76\x06\x1e\x38\x54\x5c\x73\x50\x6d\x78\x3e\x5b"
    b"\x40\x08\x48\0\x63"
)
_DOT = 0x80
_DASH = 0x40


class Characters(Layout):
    """A label and a value stand in two lines; on a display of one line, the value alone."""

    def __init__(self, lcd):
        super().__init__(lcd.num_columns, lcd.num_lines, 1, 1)
        self._lcd = lcd
        self._shown = [" " * self._width] * self._height
        self._has_levels = False

    def number(self, value, unit="", label=""):
        self._show_lines(label, joined(number_text(value), unit, self._width))

    def bar(self, percent, label=""):
        percent = percent_of(percent)
        self._show_value(label, "%d %%" % percent, _BLOCK * (self._width * percent // 100))

    def icon(self, name, label=""):
        """Show the label, or the name: these displays have no room for icons."""
        self.text(label or name)

    def graph(self, values, unit="", label=""):
        if not self._has_levels:
            self._has_levels = True
            for level in range(_LEVEL_COUNT):
                self._lcd.custom_char(level, bytes(7 - level) + b"\x1f" * (level + 1))
        if values:
            self._show_value(label, joined(number_text(values[-1]), unit, self._width), self._curve(values))
        else:
            self._show_lines("", label)

    def _curve(self, values):
        least = min(values)
        span = max(values) - least
        curve = ""
        for column in range(self._width):
            value = values[column * len(values) // self._width]
            level = 0
            if span:
                level = int((value - least) * (_LEVEL_COUNT - 1) / span)
            curve += chr(level)
        return curve

    def _show_value(self, label, value, picture):
        """Show a value with its label, and a line that draws it below."""
        line = joined(label, value, self._width)
        if self._height > 1:
            self._show_lines(line, picture)
        else:
            self._show_lines("", line)

    def _show_lines(self, first, second):
        rows = [second]
        if first and self._height > 1:
            rows = [plain(first)[: self._width], second]
        y = (self._height - len(rows)) // 2
        self._begin()
        for row in rows:
            self._put_centred(row, y, 1)
            y += 1
        self._end()

    def _begin(self):
        self._rows = [" " * self._width] * self._height

    def _put(self, text, x, y, size):
        line = " " * x + text
        self._rows[y] = line + " " * (self._width - len(line))

    def _end(self):
        for row, text in enumerate(self._rows):
            if text != self._shown[row]:
                self._shown[row] = text
                self._lcd.move_to(0, row)
                self._lcd.putstr(text.replace(DEGREE, _DEGREE_CODE))


class Digits(Layout):
    """Numbers, and those characters that seven segments can show, on the right; others are left out.

    `has_points` is for digits that each have a point; without it a number is rounded, and only a colon is shown.
    """

    def __init__(self, driver, count, has_points):
        super().__init__(count, 1, 1, 1)
        self._driver = driver
        self._has_points = has_points
        self._shown = bytes(count)

    def text(self, *lines):
        text = self._showable(" ".join(lines))
        codes = self._codes(text)
        if len(codes) > self._width and has_digit(text):
            codes = bytes([_DASH] * self._width)
        codes = codes[: self._width]
        self._show(bytes(self._width - len(codes)) + codes)

    def number(self, value, unit="", label=""):
        self.text(number_text(value))

    def bar(self, percent, label=""):
        self.text(str(percent_of(percent)))

    def icon(self, name, label=""):
        self.text(label or name)

    def graph(self, values, unit="", label=""):
        if values:
            self.text(number_text(values[-1]))
        else:
            self.clear()

    def scroll(self, text):
        super().scroll(self._showable(text))

    def _showable(self, text):
        """Return a text without what has no shape; a number with a point is rounded if the point has no place."""
        words = []
        for word in text.lower().split():
            if "." in word and has_digit(word):
                word = self._number(word)
            words.append("".join([character for character in word if character in _SEGMENT_CHARACTERS + ".:"]))
        return " ".join(words)

    def _number(self, word):
        if self._has_points and len(word) - 1 <= self._width:
            return word
        try:
            return "%.0f" % float(word)
        except ValueError:
            return ""

    def _codes(self, text):
        codes = bytearray()
        for character in text:
            if character not in ".:":
                codes.append(_SEGMENTS[_SEGMENT_CHARACTERS.find(character)])
            elif codes and (self._has_points or character == ":"):
                codes[-1] |= _DOT
        return bytes(codes)

    def _begin(self):
        self._line = b""

    def _put(self, text, x, y, size):
        self._line = self._codes(text)

    def _end(self):
        self._show(self._line + bytes(self._width - len(self._line)))

    def _show(self, codes):
        if codes != self._shown:
            self._shown = codes
            self._send(codes)

    def _send(self, codes):
        self._driver.write(codes)


class ChainDigits(Digits):
    """Digits at a chain of chips: the last chip is on the left, the first digit of a chip on the right."""

    def __init__(self, driver, digits):
        self._digits = digits
        super().__init__(driver, driver.num * digits, True)

    def _send(self, codes):
        for place, code in enumerate(codes):
            row = self._digits - 1 - place % self._digits
            # There segment a is bit 6, and g is bit 0.
            segments = mirrored(code & 0x7F) >> 1 | code & _DOT
            self._driver.buffer[row * self._driver.num + place // self._digits] = segments
        self._driver.show()
