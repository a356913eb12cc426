"""What the agent keeps in flash, in MimiClaw's formats: Markdown, and a JSONL file for each conversation.

    config/SOUL.md USER.md   memory/MEMORY.md YYYY-MM-DD.md   HEARTBEAT.md   cron.json   files/   ca/
    skills/NAME.md           how to do something, by the person; the first line says when
    sessions/NAME.jsonl      {"role","content","ts"}; `by` "board" where the host was away
    pending.json             what the host was asked and has not answered
    meanwhile                names of the sessions that the host has not been told of

A file is replaced by a rename or grows by one write; a last line that a power cut tore is left out, never the others.
"""

import json
import os

from agent.text import clean, cut

HISTORY = 20  # MimiClaw's
MAX_ROW_BYTES = 8000
MAX_SESSION_BYTES = 65536
MAX_SESSIONS = 32
MAX_FILE_BYTES = 16384
MAX_FILES = 64
SPARE_BYTES = 65536  # of flash; programs and the outbox need it
FOLDERS = ("config", "memory", "sessions", "files", "ca", "skills")
WRITABLE = ("config/USER.md", "memory/", "files/", "HEARTBEAT.md")
READABLE = ("config/", "skills/") + WRITABLE


class Store:
    def __init__(self, root):
        self.root = root
        for name in ("",) + FOLDERS:
            try:
                os.mkdir(root + ("/" + name if name else ""))
            except OSError:
                pass  # it is there; a full flash is told when something is written

    # Text files

    def read(self, name, most=MAX_FILE_BYTES):
        """The text, at most about so many bytes; "" for a file that is not there."""
        try:
            with open(self._path(name), "rb") as file:
                raw = file.read(most + 1)
        except OSError:
            return ""
        if len(raw) > most:
            raw = raw[:most]
            while raw and raw[-1] & 0xC0 == 0x80:
                raw = raw[:-1]
            raw = raw[:-1]  # the last character may be half of one
        try:
            return str(raw, "utf-8")
        except ValueError:
            return "(this file is not text)"

    def write(self, name, text):
        """The whole file anew. OSError where the flash is full."""
        self._check_room()
        path = self._path(name)
        with open(path + ".new", "wb") as file:
            file.write(text.encode())
        os.rename(path + ".new", path)

    def remove(self, name):
        try:
            os.remove(self._path(name))
        except OSError:
            pass  # there was none

    def names(self, folder):
        """Names and sizes in bytes, sorted."""
        rows = [row for row in os.ilistdir(self._path(folder)) if row[1] == 0x8000 and not row[0].endswith(".new")]
        return sorted((row[0], os.stat(self._path(folder) + "/" + row[0])[6]) for row in rows)

    def load(self, name, default):
        """JSON, or `default` where there is none of its type."""
        try:
            with open(self._path(name)) as file:
                found = json.load(file)
        except (OSError, ValueError):
            return default
        return found if isinstance(found, type(default)) else default

    # Conversations

    def history(self, session):
        """The newest rows, whole ones."""
        rows = []
        try:
            with open(self._session(session), "rb") as file:
                for line in _lines(file):
                    row = _row(line)
                    if row is not None:
                        rows.append(row)
                        del rows[:-HISTORY]
        except OSError:
            pass  # it begins now
        return rows

    def add(self, session, rows):
        """What was said, in one write. A torn end or a long file is written anew first, with the newest rows."""
        lines = ""
        for role, content, ts, by in rows:
            row = {"role": role, "content": cut(clean(content), MAX_ROW_BYTES), "ts": ts}
            if by == "board":
                row["by"] = by
            lines += json.dumps(row) + "\n"
        path = self._session(session)
        size, is_torn = _end_of(path)
        if size is None:
            self._make_room()
        self._check_room()
        if is_torn or (size or 0) + len(lines) > MAX_SESSION_BYTES:
            kept = "".join([json.dumps(row) + "\n" for row in self.history(session)])
            with open(path + ".new", "wb") as file:
                file.write((kept + lines).encode())
            os.rename(path + ".new", path)
            return
        with open(path, "ab") as file:
            file.write(lines.encode())

    def meanwhile(self, session):
        """What the board said and heard by itself since the host's last word there."""
        rows = self.history(session)
        begin = len(rows)
        while begin and rows[begin - 1].get("by") == "board":
            begin -= 1
        return rows[begin:]

    def _make_room(self):
        """One session less where there are too many: the one that nobody spoke in for the longest time."""
        found = [row[0] for row in self.names("sessions")]
        if len(found) >= MAX_SESSIONS:
            self.remove("sessions/" + min(found, key=lambda name: os.stat(self._path("sessions/" + name))[8]))

    def _session(self, session):
        return self._path("sessions/" + file_name(session) + ".jsonl")

    def _path(self, name):
        return self.root + "/" + name

    def _check_room(self):
        """OSError(28) before the flash is so full that nothing else of the board works."""
        facts = os.statvfs(self.root)
        if facts[0] * facts[3] < SPARE_BYTES:
            raise OSError(28)

    # What the model may touch

    def own(self, name, writing=False):
        """The name of a file that the agent may use. ValueError for any other: keys and conversations are no files."""
        places = WRITABLE if writing else READABLE
        parts = name.split("/")
        plain = "." not in parts and ".." not in parts and "" not in parts and len(parts) <= 2 and len(name) <= 64
        odd = [sign for sign in name if not (sign.isalpha() or sign.isdigit() or sign in "-_./ ")]
        if (
            not plain
            or odd
            or not any(name == place or place[-1] == "/" and name.startswith(place) for place in places)
        ):
            raise ValueError("only these: " + ", ".join(places))
        if writing and name.endswith(".new"):
            raise ValueError("a name that ends in .new is not kept")
        folder = parts[0]
        if writing and len(parts) == 2 and len(self.names(folder)) >= MAX_FILES:
            if parts[1] not in [row[0] for row in self.names(folder)]:
                raise ValueError("{} files are there, no more fit".format(MAX_FILES))
        return name


def file_name(text):
    """A name for a file, whatever the text is."""
    plain = "-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return "".join([chr(b) if chr(b) in plain else "%%%02x" % b for b in text.encode()])


def _lines(file):
    """Lines of bounded length; what is longer is passed over."""
    while True:
        line = file.readline(MAX_SESSION_BYTES)
        if not line:
            return
        yield line


def _row(line):
    try:
        row = json.loads(str(line, "utf-8"))
    except ValueError:
        return None
    if line[-1:] != b"\n" or not isinstance(row, dict) or row.get("role") not in ("user", "assistant"):
        return None
    return row if isinstance(row.get("content"), str) and row["content"] else None


def _end_of(path):
    """Its size, None for no file, and whether its last line is torn."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            if not size:
                return 0, False
            file.seek(size - 1)
            return size, file.read(1) != b"\n"
    except OSError:
        return None, False
