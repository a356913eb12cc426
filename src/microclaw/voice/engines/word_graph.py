"""Rules in the notation of JSGF as the smallest graph of words that gives the same sentences. It knows no words.

pocketsphinx could read the rules itself, but copies each wherever it is named: the templates have 112 000 states then
and take 46 s to load. Here the sentences that go on alike share what is left of them. The decoder gets the pairs of
words as a language model, which is fast and can go astray; whether a sentence it heard is one, the graph tells. That
also finds what was no command: of those hardly one comes out as a whole sentence. Rules must not name themselves.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from microclaw.errors import VoiceError

MAX_ARCS: Final = 120_000
_NEVER: Final = -9
"""How unlikely a pair of words is that the graph does not have (a logarithm to base 10)."""
TOKEN: Final = re.compile(r"<[^>]*>|[()\[\]|]|[^\s()\[\]|<>]+")


@dataclass(frozen=True)
class WordGraph:
    """A sentence is a way from state 0 to state 1; an arc is (from, to, word)."""

    states: int
    arcs: tuple[tuple[int, int, str], ...]

    @cached_property
    def _after(self) -> Mapping[int, Mapping[str, frozenset[int]]]:
        after: dict[int, dict[str, set[int]]] = {}
        for state, end, word in self.arcs:
            after.setdefault(state, {}).setdefault(word, set()).add(end)
        return {state: {word: frozenset(ends) for word, ends in arcs.items()} for state, arcs in after.items()}

    @property
    def words(self) -> frozenset[str]:
        return frozenset(word for _, _, word in self.arcs)

    def accepts(self, sentence: str, *, whole: bool = True) -> bool:
        """Whether it is a sentence of the graph, or the beginning of one if it need not be `whole`."""
        states = {0}
        for word in sentence.split():
            states = {end for state in states for end in self._after.get(state, {}).get(word, ())}
        return 1 in states if whole else bool(states)

    def language_model(self) -> str:
        """In ARPA's format: which word may follow which, all that may equally likely."""
        follow: dict[str, set[str]] = {"<s>": set(self._after.get(0, ()))}
        for _, end, word in self.arcs:
            after = follow.setdefault(word, set())
            after.update(self._after.get(end, ()))
            if end == 1:
                after.add("</s>")
        any_word = -math.log10(len(follow))
        lines = ["\\data\\", f"ngram 1={len(follow) + 1}", f"ngram 2={sum(map(len, follow.values()))}", ""]
        lines += ["\\1-grams:", f"{any_word:.3f} </s> 0", f"-99 <s> {_NEVER}"]
        lines += [f"{any_word:.3f} {word} {_NEVER}" for word in sorted(follow) if word != "<s>"]
        lines += ["", "\\2-grams:"]
        for word in sorted(follow):
            chance = f"{-math.log10(max(1, len(follow[word]))):.3f}"
            lines += [f"{chance} {word} {after}" for after in sorted(follow[word])]
        return "\n".join([*lines, "", "\\end\\", ""])


@dataclass(slots=True)
class _Part:
    """The smallest graph of one rule, whose arcs may name other rules. A node is (whether it ends, its arcs)."""

    nodes: list[tuple[bool, tuple[tuple[str, int], ...]]]
    root: int


@dataclass(slots=True)
class _Paths:
    """The rule as it is read: arcs with a word, or with "" for none."""

    arcs: list[list[tuple[str, int]]] = field(default_factory=lambda: [[]])

    def state(self) -> int:
        self.arcs.append([])
        return len(self.arcs) - 1


def word_graph(
    rules: Mapping[str, str], start: str, is_copied: Callable[[str], bool], sayable: Callable[[str], bool]
) -> WordGraph:
    """The sentences of the rule `start`; alternatives with a word that is not `sayable` are left out.

    Rules that `is_copied` become part of those that name them: more is shared, it takes longer. Raises VoiceError over
    MAX_ARCS, and if nothing is left.
    """
    parts = _Parts(rules, is_copied, sayable)
    top = parts.part(start)
    if top is None:
        raise VoiceError(f"the rules leave nothing to say in {start}")
    return _Expansion(parts).graph(top)


class _Parts:
    def __init__(
        self, rules: Mapping[str, str], is_copied: Callable[[str], bool], sayable: Callable[[str], bool]
    ) -> None:
        self._rules, self._is_copied, self._sayable = rules, is_copied, sayable
        self._parts: dict[str, _Part | None] = {}
        self._same: dict[str, str] = {}

    def part(self, name: str) -> _Part | None:
        """None: nothing of the rule can be said."""
        if name not in self._parts:
            paths = _Paths()
            end = self._read(paths, iter(TOKEN.findall(self._rules[name])), 0)
            self._parts[name] = _smallest(paths, end) if end is not None else None
        return self._parts[name]

    def _read(self, paths: _Paths, tokens: Iterator[str], start: int) -> int | None:
        """Add the alternatives up to the closing bracket; returns where they end, None if none can be said."""
        end, at, found = paths.state(), start, False
        is_sayable = True
        for token in tokens:
            if token in (")", "]"):
                break
            if token == "|":
                if is_sayable:
                    paths.arcs[at].append(("", end))
                    found = True
                at, is_sayable = start, True
                continue
            after = self._step(paths, tokens, token, at)
            at, is_sayable = (after, is_sayable) if after is not None else (at, False)
        if is_sayable:
            paths.arcs[at].append(("", end))
            found = True
        return end if found else None

    def _step(self, paths: _Paths, tokens: Iterator[str], token: str, at: int) -> int | None:
        """One word, group or rule; returns the state after it, None if it cannot be said."""
        if token in ("(", "["):
            begin = paths.state()
            paths.arcs[at].append(("", begin))
            after = self._read(paths, tokens, begin)
            if token == "[":
                after = paths.state() if after is None else after
                paths.arcs[at].append(("", after))
            return after
        if token.startswith("<"):
            return self._rule(paths, token[1:-1], at)
        if not self._sayable(token):
            return None
        after = paths.state()
        paths.arcs[at].append((token, after))
        return after

    def _rule(self, paths: _Paths, name: str, at: int) -> int | None:
        if name == "VOID":
            return None
        if self._is_copied(name):
            begin = paths.state()
            paths.arcs[at].append(("", begin))
            return self._read(paths, iter(TOKEN.findall(self._rules[name])), begin)
        name = self._same.setdefault(self._rules[name], name)  # two rules of the same text are one
        part = self.part(name)
        if part is None:
            return None
        after = paths.state()
        paths.arcs[at].append((f"<{name}>", after))
        if part.nodes[part.root][0]:
            paths.arcs[at].append(("", after))
        return after


def _smallest(paths: _Paths, end: int) -> _Part:
    """Deterministic, and minimal: the graph has no rings, so equal ends are found from the back."""
    dead = 0
    nodes: dict[tuple[bool, tuple[tuple[str, int], ...]], int] = {(False, ()): dead}
    seen: dict[frozenset[int], int] = {}

    def node(states: frozenset[int]) -> int:
        if states in seen:
            return seen[states]
        reached = _closure(paths, states)
        after: dict[str, set[int]] = {}
        for state in reached:
            for word, target in paths.arcs[state]:
                if word:
                    after.setdefault(word, set()).add(target)
        targets = sorted((word, node(frozenset(states))) for word, states in after.items())
        # A path that ends at a word that cannot be said leads nowhere.
        arcs = tuple((word, target) for word, target in targets if target != dead)
        seen[states] = nodes.setdefault((end in reached, arcs), len(nodes))
        return seen[states]

    root = node(frozenset((0,)))
    return _Part(list(nodes), root)


def _closure(paths: _Paths, states: frozenset[int]) -> set[int]:
    reached, waiting = set(states), list(states)
    while waiting:
        for word, target in paths.arcs[waiting.pop()]:
            if not word and target not in reached:
                reached.add(target)
                waiting.append(target)
    return reached


class _Expansion:
    """Puts parts in the place of the arcs that name them; the inside of a part is shared by all that go on alike."""

    def __init__(self, parts: _Parts) -> None:
        self._parts = parts
        self._arcs: dict[tuple[int, int, str], None] = {}
        self._inside: dict[tuple[str, int, int], int] = {}
        self._states = 2

    def graph(self, top: _Part) -> WordGraph:
        self._place("", top, top.root, 0, 1)
        return WordGraph(self._states, tuple(self._arcs))

    def _place(self, name: str, part: _Part, node: int, state: int, end: int) -> None:
        """The arcs of a node, from `state`, in a part that ends at `end`."""
        for word, target in part.nodes[node][1]:
            ends, onward = part.nodes[target]
            if ends:
                self._arc(word, state, end)
            if onward:
                self._arc(word, state, self._state(name, part, target, end))

    def _state(self, name: str, part: _Part, node: int, end: int) -> int:
        key = (name, node, end)
        if key not in self._inside:
            self._inside[key] = state = self._states
            self._states += 1
            self._place(name, part, node, state, end)
        return self._inside[key]

    def _arc(self, word: str, state: int, end: int) -> None:
        if word.startswith("<"):
            part = self._parts.part(word[1:-1])
            assert part is not None
            self._place(word, part, part.root, state, end)
            return
        self._arcs[state, end, word] = None
        if len(self._arcs) > MAX_ARCS:
            raise VoiceError(
                f"the grammar of spoken commands has more than {MAX_ARCS} arcs", next_step="give fewer names"
            )
