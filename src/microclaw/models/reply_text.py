"""Thoughts and calls that a model wrote into its text. It knows no provider.

Servers without a parser for a model's template leave them there: `<think>`…`</think>`, only `</think>` if the template
opens the thought in the prompt (DeepSeek R1, QwQ), and calls in the form that the template teaches.
"""

from __future__ import annotations

import re
from typing import Final

_OPEN: Final = r"<(?:think|thinking|thought)>"
_CLOSE: Final = r"</(?:think|thinking|thought)>\n*"
_TAG: Final = re.compile(f"{_OPEN}|{_CLOSE}")
_MAX_TAG_CHARS: Final = len("</thinking>")
_TAG_START: Final = re.compile(r"</?[a-z]{0,8}\Z")

OPENS_IN_THOUGHT: Final = re.compile(r"\br1\b|\bqwq\b|thinking", re.IGNORECASE)
"""Names of models whose template opens the thought, so that only its end may stand in the text."""

# Hermes, Qwen and GLM; Qwen Coder; Mistral; Llama and DeepSeek; OpenAI's own names; JSON in a fence or bare.
_CALL: Final = re.compile(
    r"<tool_call>\s{0,8}(?=[\w{])|<function=|\[TOOL_CALLS\]|<[|｜](?:python_tag|tool)|\b(?:functions|tools)\.(?=[\w-]+\()"
    r"|^[ \t]{0,8}(?:```\w{0,12}\s{0,8})?\[?\s{0,8}"
    r"(?=\{\s{0,8}\"(?:name|function|tool|arguments|parameters)\"\s{0,8}:)",
    re.MULTILINE,
)
_NAME: Final = re.compile(r"[A-Za-z][\w.-]*")
_MAX_BEFORE_NAME: Final = 200


def visible_text(text: str) -> str:
    """Return the text without its thoughts: whole ones, what is before a lone end, what is after a lone begin."""
    visible: list[str] = []
    is_thought = False
    start = 0
    for tag in _TAG.finditer(text):
        is_end = tag[0].startswith("</")
        if is_end and not is_thought:
            visible.clear()
        elif not is_end and not is_thought:
            visible.append(text[start : tag.start()])
        is_thought = not is_end
        start = tag.end()
    if not is_thought:
        visible.append(text[start:])
    return "".join(visible)


def has_lone_end(text: str) -> bool:
    """Return True if a thought ends in this text that did not begin in it."""
    is_thought = False
    for tag in _TAG.finditer(text):
        is_end = tag[0].startswith("</")
        if is_end and not is_thought:
            return True
        is_thought = not is_end
    return False


def written_call(text: str, names: frozenset[str]) -> str | None:
    """Return the name of the tool that the text calls, or None: a call in a form of the usual chat templates."""
    for call in _CALL.finditer(text):
        start = call.end()
        for word in _NAME.findall(text, start, start + _MAX_BEFORE_NAME):
            name = plain_name(word)
            if name in names:
                return name
    return None


def plain_name(name: str) -> str:
    """Return a tool's name in one form: without the prefix of some templates, with hyphens."""
    for prefix in ("functions.", "tools."):
        name = name.removeprefix(prefix)
    return name.replace("_", "-")


class VisiblePieces:
    """The visible text of one answer, from pieces in any cut.

    With `is_thought` the answer may begin in a thought: nothing is shown before that ends, or before `end`.
    """

    def __init__(self, is_thought: bool) -> None:
        self._may_be_thought = is_thought
        self._is_thought = is_thought
        self._is_blank = True
        self._held = ""

    def add(self, piece: str) -> str:
        """Return what can be shown now. The start of a tag waits for its end."""
        # What was held before has no whole tag.
        start = max(0, len(self._held) - _MAX_TAG_CHARS)
        self._held += piece
        shown = ""
        while (tag := _TAG.search(self._held, start)) is not None:
            if not self._is_thought:
                shown += self._held[: tag.start()]
            self._held = self._held[tag.end() :]
            start = 0
            self._is_thought = not tag[0].startswith("</")
            self._may_be_thought = False
        if self._is_thought:
            return self._begun(shown)
        tag_start = _TAG_START.search(self._held)
        end = len(self._held) if tag_start is None else tag_start.start()
        shown += self._held[:end]
        self._held = self._held[end:]
        return self._begun(shown)

    def begins_visible(self) -> None:
        """Note that the server sends the thoughts apart, so that the text is none."""
        if self._may_be_thought:
            self._is_thought = False

    def end(self) -> str:
        """Return what was held back and is no thought."""
        if self._is_thought and not self._may_be_thought:
            return ""
        return self._begun(self._held)

    def _begun(self, shown: str) -> str:
        """The text without the blank lines between a thought and the answer."""
        if self._is_blank:
            shown = shown.lstrip("\n")
        self._is_blank = self._is_blank and not shown
        return shown
