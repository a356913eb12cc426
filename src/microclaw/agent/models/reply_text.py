"""Thoughts and calls that a model wrote into its text. It knows no provider.

Servers without a parser for a model's template leave them there: `<think>`…`</think>`, only `</think>` if the template
opens the thought in the prompt (DeepSeek R1, QwQ), and calls in the form that the template teaches. An answer may also
mention such a tag.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

_TAG: Final = re.compile(r"</?(?:think|thinking|thought)>")
_TAG_START: Final = re.compile(r"</?[a-z]{0,8}\Z")
_BEFORE_MENTION: Final = frozenset(" \t`'\"“‘«([{<>*_|/\\")
"""What stands before a tag that is only mentioned. A model writes a tag of its own directly after its words, and an end
also on a new line."""

OPENS_IN_THOUGHT: Final = re.compile(r"\br1\b|\bqwq\b|thinking", re.IGNORECASE)
"""Names of models whose template opens the thought, so that only its end may stand in the text."""

# Hermes, Qwen and GLM; Qwen Coder; Mistral; Llama and DeepSeek; OpenAI's own names; JSON in a fence, or as the answer.
_CALL: Final = re.compile(
    r"<tool_call>\s{0,8}(?=[\w{])|<function=|\[TOOL_CALLS\]|<[|｜](?:python_tag|tool)"
    r"|^[ \t]{0,8}(?:functions|tools)\.(?=[\w-]+\()"
    r"|(?:\A\s*|^[ \t]{0,8}```\w{0,12}\s{0,8})\[?\s{0,8}"
    r"(?=\{\s{0,8}\"(?:name|function|tool|arguments|parameters)\"\s{0,8}:)",
    re.MULTILINE,
)
_JSON_START: Final = re.compile(r"\[?\s*\{")
_JSON_NAME: Final = re.compile(r"\"(?:name|function|tool)\"\s{0,8}:\s{0,8}\"([^\"]{1,100})\"")
_NAME: Final = re.compile(r"[A-Za-z][\w.-]*")
_MAX_BEFORE_NAME: Final = 200
# How many calls are read.
_MAX_CALLS: Final = 16


def visible_text(text: str) -> str:
    """Return the text without its thoughts: whole thoughts, text before a lone end tag, text after a lone begin tag."""
    pieces = VisiblePieces(is_thought=True)
    shown = pieces.add(text)
    return shown + pieces.end()


def has_lone_end(text: str) -> bool:
    """Return True if a thought ends in this text that did not begin in it."""
    pieces = VisiblePieces(is_thought=True)
    pieces.add(text)
    return pieces.has_lone_end


def written_call(text: str, names: frozenset[str]) -> str | None:
    """Return the name of the tool that the text calls, or None: a call in a form of the usual chat templates."""
    for call in islice(_CALL.finditer(text), _MAX_CALLS):
        start = call.end()
        for word in _words_of_call(text[start : start + _MAX_BEFORE_NAME]):
            name = plain_name(word)
            if name in names:
                return name
    return None


def plain_name(name: str) -> str:
    """Return a tool's name in one form: without the prefix of some templates, with hyphens."""
    for prefix in ("functions.", "tools."):
        name = name.removeprefix(prefix)
    return name.replace("_", "-")


def _words_of_call(begin: str) -> list[str]:
    """Return what may be the tool's name in the begin of a call: in JSON only the value that names it."""
    if _JSON_START.match(begin) is None:
        return _NAME.findall(begin)
    json_name = _JSON_NAME.search(begin)
    if json_name is None:
        return []
    return [json_name[1]]


class VisiblePieces:
    """The visible text of one answer, from pieces in any cut.

    With `is_thought` the answer may begin in a thought: nothing is shown before another tag, or before `end`.
    A thought begins at the start of the text, after another one, or where its tag is not only mentioned. It may end
    without a begin only if no tag of a begin is before it: else the answer is about such tags.
    """

    def __init__(self, is_thought: bool) -> None:
        self.has_lone_end = False
        self._may_begin_in_thought = True
        self._is_withheld = is_thought
        self._is_thought = False
        # At the start of the text or after a thought; blanks may come before.
        self._is_at_start = True
        self._skips_newlines = True
        self._last = ""
        self._withheld: list[str] = []
        self._tail = ""

    def add(self, piece: str) -> str:
        """Return what can be shown now. The start of a tag waits for its end."""
        text = self._tail + piece
        shown: list[str] = []
        start = 0
        for tag in _TAG.finditer(text):
            shown.append(self._show(text[start : tag.start()]))
            shown.append(self._show_tag(tag[0]))
            start = tag.end()
        tag_start = _TAG_START.search(text, start)
        if tag_start is None:
            end = len(text)
        else:
            end = tag_start.start()
        shown.append(self._show(text[start:end]))
        self._tail = text[end:]
        return "".join(shown)

    def begins_visible(self) -> None:
        """Note that the server sends thoughts separately, so the text is not a thought."""
        self._is_withheld = False

    def end(self) -> str:
        """Return the withheld text that is not a thought."""
        self._is_withheld = False
        return self._show(self._tail) + self._release()

    def _show_tag(self, tag: str) -> str:
        is_end = tag.startswith("</")
        if self._is_thought:
            if is_end:
                self._end_thought()
            return ""
        is_mention = self._last in _BEFORE_MENTION and not self._is_at_start
        if is_end:
            if is_mention:
                return self._show(tag)
            return self._show_lone_end(tag)
        self._may_begin_in_thought = False
        self._is_withheld = False
        if is_mention or (self._last == "\n" and not self._is_at_start):
            return self._show(tag)
        self._is_thought = True
        return self._release()

    def _show_lone_end(self, tag: str) -> str:
        if not self._may_begin_in_thought:
            return self._show(tag)
        self._withheld.clear()
        self.has_lone_end = True
        self._end_thought()
        return ""

    def _end_thought(self) -> None:
        self._may_begin_in_thought = False
        self._is_withheld = False
        self._is_thought = False
        self._is_at_start = True
        self._skips_newlines = True

    def _show(self, text: str) -> str:
        """Return the text, with what was withheld before it; nothing of a thought, or of the blank lines around it."""
        if self._skips_newlines and not self._is_thought:
            text = text.lstrip("\n")
        if self._is_thought or not text:
            return ""
        self._skips_newlines = False
        self._is_at_start = self._is_at_start and text.isspace()
        self._last = text[-1]
        self._withheld.append(text)
        if self._is_withheld:
            return ""
        return self._release()

    def _release(self) -> str:
        shown = "".join(self._withheld)
        self._withheld.clear()
        return shown
