"""Reads what is to be done with a thing: "should light up for a minute", "off again", "flash it twice"."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from microclaw.agent.wishes.things import words_of

_MARK: Final = r"(?:output|led|input)#(?:\d+|@[a-z]+)?"
_OUT: Final = rf"(?P<out>{_MARK}(?:(?: ¦)?(?: and| also| plus| &)? {_MARK})*|it(?! is\b| gets\b)|them|that one|the one|both(?: of them)?)"
_WILL: Final = (
    r"(?:(?:should|must|shall|will|can|may|needs to|has to|have to|is to|are to|to|be|gets?|goes|go|comes?|turns?"
    r"|switch(?:es)?|stays?|is|are|then|also|automatically|slowly|just|turned|switched|back|brought|put) )*"
)
_BACK: Final = r"(?: back)?(?: again)?"
_TURN: Final = r"(?:turn|switch|put|power|flip|set|bring|get|have|leave|keep|take|turning|switching)(?:s|es)?"
_RUN: Final = (
    r"(?:light up|light|start up|start|run|activate|enable|energi[sz]e|engage|power up|power|illuminate|assert|raise|fire up|exercise)s?"
)
_STOP: Final = r"(?:stop|shut down|shut off|shut|kill|cut off|cut|deactivate|disable|deassert|drop|put out)s?"
_SOUND: Final = r"(?:sound|ring|trigger|honk|fire|set off)s?"
_OPEN: Final = r"opens?(?: up)?"
_CLOSE: Final = r"closes?"
_GLOW: Final = (
    r"(?:run|start|start up|glow|light up|light|shine|work|sound|ring|come alive|spin|open|be lit|kick in)s?(?: up)?"
)
_BLINK: Final = r"(?:blink|flash|flicker|wink|strobe)(?:s|es|ing)?"
_BEEP: Final = r"(?:beep|buzz|chirp|bleep)(?:s|es|ing)?"

_VERBS: Final[tuple[tuple[str, str], ...]] = (
    (rf"{_TURN}{_BACK} on {_OUT}", "on"),
    (rf"{_TURN} {_OUT}(?: all| back)? (?:on|high){_BACK}", "on"),
    (rf"(?:drive|pull|make) {_OUT} high", "on"),
    (rf"{_RUN} {_OUT}(?: up)?", "on"),
    (rf"(?:turn|switch|put|set|give)s? {_OUT}(?= for \d)", "on"),
    (rf"{_OUT}(?= for \d+ ms)", "on"),
    (rf"{_OUT} (?P<direct>\d+ ms)(?= |$)", "on"),
    (rf"{_SOUND} {_OUT}", "on"),
    (rf"{_OPEN} {_OUT}", "on"),
    (rf"(?:let|make|have|want|would like|i'd like) {_OUT} (?:to )?{_WILL}(?:on|{_GLOW})", "on"),
    (rf"{_OUT} {_WILL}(?:on|high){_BACK}", "on"),
    (rf"{_OUT} {_WILL}{_GLOW}", "on"),
    (rf"(?:water|feed|mist|irrigate|sprinkle|spray|light|heat|cool|warm|dry|ventilate|exercise)(?: up)? (?:the |my |our )?(?:[a-z]+ ){{1,2}}(?:with|using|by|via|on|at|through|from) {_OUT}", "on"),
    (rf"(?:water|feed|mist|irrigate|sprinkle|spray|ventilate|exercise) {_OUT}", "on"),
    (rf"{_TURN}{_BACK} off {_OUT}", "off"),
    (rf"{_TURN} {_OUT}(?: all| back)? (?:off|low){_BACK}", "off"),
    (rf"(?:drive|pull|make) {_OUT} low", "off"),
    (rf"{_STOP} {_OUT}", "off"),
    (rf"{_CLOSE} {_OUT}", "off"),
    (rf"{_OUT} {_WILL}(?:off|low|out){_BACK}", "off"),
    (rf"{_OUT} {_WILL}(?:stop|close|go out|shut off|turn itself off)s?", "off"),
    (rf"(?:let|make|have) {_OUT} (?:to )?{_WILL}(?:off|stop|close)", "off"),
    (rf"(?:toggle|flip|change|invert|change over)s? {_OUT}(?: on/off| on and off)?", "toggle"),
    (rf"{_TURN} {_OUT} (?:over|on or off|on and off in turn)", "toggle"),
    (rf"{_OUT} {_WILL}(?:toggle|flip|change state|change over|on or off)s?(?: ¦ or off if (?:it was|it's|it is) on)?", "toggle"),
    (rf"{_OUT} on/off", "toggle"),
    (rf"{_BLINK} (?:with )?{_OUT}", "blink"),
    (rf"(?:let|make|have|get|want|would like|i'd like) {_OUT} (?:to )?{_WILL}{_BLINK}(?: on and off)?", "blink"),
    (rf"{_OUT} {_WILL}(?:start |keep |keeps )?{_BLINK}(?: on and off)?", "blink"),
    (rf"{_OUT} (?P<count>\d{{1,2}}) (?:blinks|flashes)", "blink"),
    (rf"{_BEEP} (?:(?:with|on|using|at) )?{_OUT}", "beep"),
    (rf"(?:let|make|have|get) {_OUT} (?:to )?{_WILL}{_BEEP}", "beep"),
    (rf"{_OUT} {_WILL}(?:keep |keeps )?{_BEEP}", "beep"),
    (rf"pulses? {_OUT}", "pulse"),
)  # fmt: skip
_ELLIPTIC: Final = (
    (re.compile(r"(?:back )?on(?: again)?(?= (?:at|when|if|once|for|as soon|above|over|below|under|from|between|every|until|in|around)\b| ¦|$)"), "on"),
    (re.compile(r"(?:(?:has to|must|should|can) )?(?:stop|disable it|deassert)(?: again)?(?= (?:at|when|if|once|after|the moment|as soon|above|over|below|under|by|then|around|in|every)\b| ¦|$)"), "off"),
    (re.compile(r"(?:back )?off(?: again)?(?= (?:at|when|if|once|after|again|as soon|above|over|below|under|by|then|around|in|every)\b| ¦|$)"), "off"),
)  # fmt: skip
_WARN: Final = re.compile(
    r"(?:warn|alert|tell|notify|inform) (?:me|us)|let (?:me|us) know|print a (?:warning|line|message)"
    r"|(?:give|send) (?:me|us) a (?:warning|message|note|shout)|(?:log|write|record)(?: a line| it| that)?(?= (?:every time|whenever|when|each time|if)\b)"
)
_VERB_PATTERNS: Final = tuple((re.compile(rf"(?:{pattern})(?![\w#])"), verb) for pattern, verb in _VERBS)
_COUNT: Final = re.compile(r"(?: up)? (?:(?P<times>\d{1,2}) times|(?P<word>once|twice|thrice))(?! (?:a|an|per|every|each)\b)")
_FOR: Final = re.compile(
    r" (?:on )?(?:for|during) (?:exactly |just |only |about |another )?(?P<ms>\d+ ms)(?: only| long)?"
    r"(?:(?: ¦)? (?:and )?(?:then )?(?:(?:turn|switch|goes|go|turns) )?(?:it )?(?:close|closes|off|stop|stops)(?: again)?"
    r"(?: by itself)?)?"
)
_OFF_LATER: Final = re.compile(
    r"(?: ¦)?(?: and| then| but)*(?: it)?(?: should| must)?(?: turn| switch| goes| go)?(?: it)? off(?: again)?"
    r" (?:after (?P<ms>\d+ ms)|(?P<ms2>\d+ ms) (?:later|after that|afterwards))"
)
_PERIOD: Final = re.compile(r" (?:at |with )?(?:(?:about|around) )?(?:a )?(?:period(?: of)?|every|each) (?P<ms>\d+ ms)")
_FAST: Final = re.compile(r" (?:(?:very |really )?(?P<fast>fast|quickly|rapidly)|(?P<slow>slowly|slow))")
_AMOUNTS: Final[tuple[tuple[str, str], ...]] = (
    ("fade", rf"(?:fade|ramp|bring) {_OUT} (?:up|in|on)(?: slowly| gently)* (?:over|within|in|for) (?P<amount>\d+ ms)"),
    ("breathe", rf"(?:fade|pulse|ramp) {_OUT} (?:up and down|in and out)(?: forever| all the time| continuously)?"),
    ("breathe", rf"(?:let|make|have) {_OUT} (?:glow like it's breathing|breathe)(?: ¦ in and out)?"),
    ("dim", rf"(?:dim|set|put) {_OUT}(?: down| up)? (?:to|at) (?P<amount>\d+ milli percent)(?: brightness| pwm| duty)*"),
    ("dim", rf"{_OUT} (?:(?:to|at) )?(?P<amount>\d+ milli percent)(?: brightness| pwm| duty)*"),
    ("servo", rf"(?:put|set|move|turn|swing) {_OUT} (?:to|at) (?P<amount>\d+ milli degrees)"),
    ("keep", rf"(?:keep|hold) {_OUT} (?:at|around|to) (?:about |around )?(?P<amount>\d+ milli degrees)"),
    ("alternate", rf"(?:blink|flash|alternate|light) {_OUT} (?:alternately|in turns?|by turns)"),
    ("alternate", rf"{_OUT} {_WILL}(?:alternate|take turns|blink (?:in turns?|alternately)|flash (?:in turns?|alternately))"),
    ("alternate", rf"(?:let|make|have|want) {_OUT} (?:to )?(?:blink|flash) (?:in turns?|alternately)"),
    ("alternate", rf"alternate {_OUT}"),
    ("read", r"(?:print|log|write down|record|note|show|read) (?P<amount>(?:the )?(?:temperature|humidity|pressure)(?:(?: and| also)? (?:the )?(?:temperature|humidity|pressure))*)"),
    ("all off", r"(?:(?:turn|switch) )?(?:everything|all outputs|all pins|all the lights|all) off|(?:turn|switch) off (?:everything|all(?: the)? (?:outputs|pins))"),
)  # fmt: skip
_MORE: Final = re.compile(
    rf"(?:(?:and|then|also|next) )+(?:on |at |in )?(?P<out>{_MARK})(?= for| ¦| and| then| at| when| if|$)"
)
_AMOUNT_PATTERNS: Final = tuple((verb, re.compile(pattern)) for verb, pattern in _AMOUNTS)
_WAIT: Final = re.compile(
    r"(?:(?:then )?wait (?:for )?|pause (?:for )?|after (?:another )?|then after (?:another )?)(?P<ms>\d+ ms)"
    r"(?: more)?(?! without)|(?P<ms2>\d+ ms) (?:later|after that|afterwards)"
)
_ON_AGAIN_MS: Final = {"fast": "200 ms", "slow": "2000 ms"}
_WORDS: Final = {
    "on": "turn on {out}",
    "off": "turn off {out}",
    "toggle": "toggle {out}",
    "blink": "blink {out}",
    "beep": "beep {out}",
    "pulse": "pulse {out}",
    "fade": "fade {out} in over {amount}",
    "breathe": "fade {out} in and out",
    "dim": "dim {out} to {amount}",
    "servo": "set the servo on {out} to {amount}",
    "read": "read {amount}",
    "keep": "keep the temperature at {amount} with {out}",
}
_WITHOUT_PIN: Final = frozenset({"warn", "all off", "read"})
_WORDS_ALONE: Final = {"warn": "warn me", "all off": "turn everything off"}


class Act(Struct, frozen=True):
    """What is to be done in the words of the grammar. `end` is where its own words end, `out` are its marks.

    `span` are the words for how long, `count` those for how often.
    """

    end: int
    verb: str
    out: tuple[str, ...] = ()
    span: str = ""
    count: str = ""
    period: str = ""
    amount: str = ""

    @property
    def words(self) -> str:
        if self.verb == "wait":
            return f"wait {self.span}"
        if self.verb in _WORDS_ALONE:
            return _WORDS_ALONE[self.verb]
        if self.verb == "alternate":
            return f"turn on {' and '.join(words_of(mark) for mark in self.out)} in turn"
        if self.verb == "read":
            return f"read {self.amount}"
        has_led = any(mark.startswith("led") for mark in self.out)
        if self.span or self.count or has_led or self.verb not in ("on", "off"):
            return " and ".join(self._words_for(words_of(mark)) for mark in self.out)
        return self._words_for(" also ".join(words_of(mark) for mark in self.out))

    def _words_for(self, out: str) -> str:
        words = _WORDS[self.verb].format(out=out, amount=self.amount)
        return " ".join(filter(None, (words, self.count, self._period, self._span)))

    @property
    def _span(self) -> str:
        if self.span:
            return f"for {self.span}"
        return ""

    @property
    def _period(self) -> str:
        if not self.period:
            return ""
        if self.count:
            return f"with a period of {self.period}"
        return f"every {self.period}"


def read_act(text: str, start: int, last: tuple[str, ...]) -> Act | None:
    """Read an act from this place on. `last` are the marks that "it" means."""
    wait = _WAIT.match(text, start)
    if wait is not None:
        return Act(wait.end(), "wait", span=wait["ms"] or wait["ms2"])
    warn = _WARN.match(text, start)
    if warn is not None:
        return Act(warn.end(), "warn")
    for verb, pattern in _AMOUNT_PATTERNS:
        match = pattern.match(text, start)
        if match is not None:
            return _with_amount(match, verb, last)
    best: Act | None = None
    for pattern, verb in _VERB_PATTERNS:
        match = pattern.match(text, start)
        if match is None or (best is not None and match.end() <= best.end):
            continue
        out = last
        if "out" in match.groupdict():
            out = _marks(match["out"], last)
        if out:
            best = _found(match, verb, out)
    if best is None and last:
        for pattern, verb in _ELLIPTIC:
            match = pattern.match(text, start)
            if match is not None:
                best = Act(match.end(), verb, last)
    if best is None:
        return None
    return _with_rest(text, best)


def _found(match: re.Match[str], verb: str, out: tuple[str, ...]) -> Act:
    groups = match.groupdict()
    count = groups.get("count") or ""
    if count:
        count = f"{count} times"
    return Act(match.end(), verb, out, groups.get("direct") or "", count)


def _marks(words: str, last: tuple[str, ...]) -> tuple[str, ...]:
    marks = tuple(re.findall(_MARK, words))
    return marks or last


def _with_amount(match: re.Match[str], verb: str, last: tuple[str, ...]) -> Act | None:
    groups = match.groupdict()
    out = _marks(groups.get("out") or "", last)
    if not out and verb not in _WITHOUT_PIN:
        return None
    return Act(match.end(), verb, out, amount=groups.get("amount") or "")


def read_more(text: str, start: int, before: Act) -> Act | None:
    """Read "and then pin 7 for a minute", which leaves the verb to the act before it."""
    match = _MORE.match(text, start)
    if match is None or before.verb not in ("on", "off", "toggle", "blink"):
        return None
    return _with_rest(text, Act(match.end(), before.verb, _marks(match["out"], ())))


def _with_rest(text: str, act: Act) -> Act:
    """Return the act with how often and how long, which the words after it say."""
    span = act.span
    count = act.count
    period = ""
    end = act.end
    while True:
        match = _FOR.match(text, end)
        if match is not None and not span:
            span = match["ms"]
            end = match.end()
            continue
        match = _OFF_LATER.match(text, end)
        if match is not None and not span and act.verb == "on":
            span = match["ms"] or match["ms2"]
            end = match.end()
            continue
        match = _COUNT.match(text, end)
        if match is not None and act.verb in ("blink", "beep", "pulse") and not count:
            count = {"once": "1 times", "twice": "2 times", "thrice": "3 times"}.get(match["word"] or "") or f"{match['times']} times"
            end = match.end()
            continue
        match = _FAST.match(text, end)
        if match is not None and act.verb == "blink" and not period:
            period = _ON_AGAIN_MS["fast" if match["fast"] else "slow"]
            end = match.end()
            continue
        match = _PERIOD.match(text, end)
        if match is not None and act.verb == "blink":
            period = match["ms"]
            end = match.end()
            continue
        return Act(end, act.verb, act.out, span, count, period, act.amount)
