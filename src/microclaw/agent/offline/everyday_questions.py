"""Reads questions in everyday words: about things by their names, readings, counts, what comes next and what if.

A question changes nothing, so words that only name a thing need not be known. A sentence that is no question, or has a
number that none of these questions is about, is read as None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from microclaw.agent.language.quantities import normalize_quantities
from microclaw.agent.offline.decision import Parse
from microclaw.agent.offline.earlier_sentences import topic_words
from microclaw.agent.offline.unknown_sentences import is_question
from microclaw.tables import read_table

_LEAD: Final = re.compile(
    r"^(?:(?:please|kindly|and|so|well|hey|ok|okay|now|can you|could you|would you|will you|do you know|let me know"
    r"|be so (?:good|kind|nice)(?: as)?(?: to)?|(?:tell|show) me|i(?:'d| would) like to know|i want to know|i wonder)"
    r"[ ,:]+)+"
)
_TAIL: Final = re.compile(
    r"(?:[ ,]*(?:please|thanks|thank you|will you|at the moment|just now|right now|at present"
    r"|list (?:it|them)(?: for me)?|give me (?:the|a) list))+$"
)
_AT_PIN: Final = re.compile(r"[ ,(]*\b(?:on |at )?pin (\d{1,3})\b\)?")
_NUMBER: Final = re.compile(r"\d")

_TABLE: Final = read_table(__package__, "question_words")
_QUANTITIES: Final[Mapping[str, str]] = _TABLE["quantities"]
_READING_WORDS: Final = frozenset(_TABLE["reading"].split())
_PLACE: Final = re.compile(r"\b(?:in|at|inside) (?:the|my|our) [a-z]+(?: [a-z]+)?(?=$| (?:now|and|today)\b)")
_READING: Final = re.compile(
    r"(?:how|what|what's|whats|give|show|tell|read|humid|warm|hot|cold|temperature|humidity|pressure)\b"
)

_FREE: Final = re.compile(
    r"(?:(?:which|what|how many|are|have|do|any)\b.*\bpins?\b.*\b(?:free|left|unused|spare|available|unoccupied|over)\b"
    r"|(?:which|what|how many|are|have|do|any)\b.*\b(?:free|unused|spare|available|unoccupied) (?:pins?|gpios?)\b)"
)
_RUNNING: Final = re.compile(r"(?:what|which)\b.*\b(?:running|active)\b")
_NOT_NOW: Final = re.compile(r"\b(?:was|were|did|since|yesterday|if|when|will|next|why)\b")
_OF_PROGRAMS: Final = frozenset(
    {"program", "programs", "programme", "programmes", "app", "apps", "pin", "pins", "device"}
)

_STATE: Final = re.compile(
    r"(?:is|are) (?P<topic>.+?) (?:still |really |already |now |turned |switched )*"
    r"(?:on|off|running|lit|going|turning|spinning|working|active|high|low)\b(?P<rest>.*)"
)
_STATE_REST: Final = re.compile(
    r"(?:[ ,]*(?:or (?:off|on|not|what|is it off|is it on)|now|still|yet|at (?:the|this|that) moment|right now|today"
    r"|and (?:when|until when|till when) (?:does|will|is) it (?:go|be|turn|switch)(?:ed)? (?:off|on)(?: again)?))*"
)
_NEXT: Final = re.compile(
    r"(?:when|at what time|how soon)(?:'s| is| will| does| do| are| shall) "
    r"(?!the next (?:scheduled )?thing)(?P<topic>.+?)"
    r"(?: (?:the )?next(?: time)?| again| (?:go|goes|turn|turns|come|comes|switch) (?:on|off))\b"
)
_WHY: Final = re.compile(
    r"why (?:is|are|isn't|aren't|does|doesn't|do|did|didn't|has|hasn't|was|wasn't|won't|will|can't(?! (?:i|we|you)\b)) "
    r"(?P<topic>.+?) "
    r"(?P<state>(?:still |always |now |even |been )*(?:not|never|on|off|run|running|start|started|stop|stopped|turn"
    r"|turning|turned|go|going|gone|work|working|come|coming|came|open|closed|dark|lit|silent|quiet|high|low)\b.*)"
)
_WHY_NOT: Final = re.compile(
    r"why (?:isn't|aren't|doesn't|didn't|hasn't|wasn't|won't|can't(?! (?:i|we|you)\b)) (?P<topic>.+)"
)
_PAST: Final = re.compile(
    r"\b(?:did|didn't|was|wasn't|were|had|yesterday|earlier|(?:this|in the) (?:morning|afternoon|evening)|last night)\b"
)
_COUNT: Final = re.compile(
    r"(?:how often|how many times|how many(?: of the)?)\b"
    r"(?P<topic>.*\b(?:has|have|had|did|do|does|was|were|been|so far|today)\b.*)"
)
_AT_ALL: Final = re.compile(
    r"(?:was|were|has|have|did) (?P<topic>.+?"
    r"\b(?:press|pressed|pushed|opened|open|triggered|used|tripped|rung|rang|hit|seen|noticed)\b"
    r".*\b(?:at all|today|while|so far|since|during|ever|meanwhile|this [a-z]+"
    r"|in the (?:morning|afternoon|evening|meantime))\b.*)"
)
_COUNTED_HERE: Final = frozenset(
    {"program", "programme", "app", "pin", "board", "device", "schedule", "sensor", "gpio"}
)
_LAST: Final = re.compile(
    r"(?:what(?:'s| is| was|s)? (?:the |your )?(?:very )?(?:last|latest|newest|most recent)"
    r" (?:thing|change|act|action)\b.*"
    r"|what (?:did|have) you (?:do|done|change|changed) (?:most recently|last)\b.*)"
)
_ACTS_ON: Final = re.compile(
    r"what\b.*\b(?:have you done|did you do|was done|has been done|happened|has happened|have you changed"
    r"|did you change)"
    r"(?: (?:with|to|on|at|about|there))*(?P<topic>.*)"
)
_PERIOD: Final = re.compile(r"\b(?:yesterday|this (?:morning|afternoon|evening))\b")
_SET_UP: Final = re.compile(
    r"what (?:did|have|had|do) (?:i|we|you)\b.*\b(?:set up|set|setup|asked?|told|tell|plan(?:ned)?|programmed|arranged?"
    r"|ordered|order|planned)\b.*?\b(?:for|about|with|around|in) (?P<topic>.+)"
)
_EXTREME: Final = re.compile(
    r"\b(?P<most>highest|maximum|max|peak|warmest|hottest|most humid)\b"
    r"|\b(?P<least>lowest|minimum|min|coldest|coolest|driest)\b"
)
_TREND: Final = re.compile(
    r"(?:has|is|did|have|are|was|does)\b.*\b(?:gone|going|go|went|rise|risen|rising|fall|fallen|falling|drop|dropped|dropping"
    r"|climb|climbed|climbing|up or down|changed|change|increased|decreased)\b"
)
_IF: Final = re.compile(
    r"(?:what|which [a-z]+)\b.*"
    r"\b(?:happens?|happened|(?:does|will|would) it do|(?:do|will|would) you do|comes? on)(?: now)?,? (?:if|when|once) "
    r"(?P<topic>.+)"
)
_IF_FIRST: Final = re.compile(
    r"(?:if|when) (?P<topic>.+?),? what (?:happens|will happen|would happen|does it do|will it do)\b"
)
# What the user would order is no event: "what happens if I turn on pin 4".
_ORDERED: Final = re.compile(
    r"(?:i|we|you) (?!press|push|hold|touch|click|tap|open|close|shut|move|walk|come|ring|trip|let go|release)"
)
_POWER: Final = re.compile(
    r"\b(?:power|electricity|current|mains|plug|fuse|blackout|outage|computer|laptop|pc|host|machine)\b"
)
_LOSS: Final = re.compile(
    r"\b(?:yank(?:ed)?|fails?|failed|failure|pull(?:ed)?|goes? (?:off|out|away|down|back)|gone|lost|lose|loses|cut|cuts"
    r"|unplug(?:ged)?|off|dies|dead|crash(?:es|ed)?|restart(?:s|ed)?|reboot(?:s|ed)?|blackout|outage|comes back)\b"
)


def parse_everyday_question(text: str) -> Parse | None:
    """Return the kind of an everyday question, with the words of its thing as "topic". Return None for others."""
    normal = normalize_quantities(text).strip(" .!?,")
    asks = is_question(text) or text.rstrip().endswith("?")
    direct = _TAIL.sub("", _LEAD.sub("", normal))
    parse = _readings(direct)
    if parse is not None:
        return parse
    if not asks and not is_question(direct):
        return None
    pin = _AT_PIN.search(direct)
    question = re.sub(r"\s+", " ", _AT_PIN.sub(" ", direct)).strip()
    if pin is not None and _says_pin_alone(direct):
        question = re.sub(r"\s+", " ", _AT_PIN.sub(" that ", direct)).strip()
    for read in _READERS:
        parse = read(question)
        if parse is None:
            continue
        if pin is not None:
            parse.values["pin"] = int(pin[1])
        return parse
    return None


def _says_pin_alone(direct: str) -> bool:
    """Return True if the pin is the thing itself: "why is pin 38 off", "is pin 5 on"."""
    return re.search(r"\b(?:is|are|does|did|has|with|to|will|isn't|doesn't|didn't) pin \d", direct) is not None


def quantities_in(text: str) -> list[str]:
    """Return the quantities that a text names: "how warm and how humid" has the temperature and the humidity."""
    words = set(re.findall(r"[a-z]+", text.lower()))
    return [name for name, spoken in _QUANTITIES.items() if words & set(spoken.split())]


def _readings(direct: str) -> Parse | None:
    """Read "how warm and how humid is it in there", "humid out here? give me the number, and the pressure too"."""
    plain = re.sub(r"[?.,!:;']", " ", direct)
    plain = _PLACE.sub(" ", re.sub(r"\s+", " ", plain))
    names = quantities_in(plain)
    begins = _READING.match(direct) is not None or quantities_in(direct.split(" ")[0])
    if _NUMBER.search(plain) or _EXTREME.search(plain):
        return None
    if not names or not begins:
        return None
    spoken = set(" ".join(_QUANTITIES.values()).split())
    unknown = set(re.findall(r"[a-z]+", plain)) - _READING_WORDS - spoken
    if unknown:
        return None
    return Parse("readings", {"quantities": " ".join(names)})


def _topic_parse(kind: str, topic: str, **values: int | str) -> Parse | None:
    if _NUMBER.search(topic):
        return None
    return Parse(kind, {"topic": topic.strip(), **values})


def _free_pins(question: str) -> Parse | None:
    if _FREE.match(question) is None:
        return None
    return Parse("pin_facts")


def _running(question: str) -> Parse | None:
    if _RUNNING.match(question) is None or _NOT_NOW.search(question) or _NUMBER.search(question):
        return None
    if set(topic_words(question)) - _OF_PROGRAMS:
        return None
    return Parse("list_apps")


def _state(question: str) -> Parse | None:
    match = _STATE.fullmatch(question)
    if match is None or _STATE_REST.fullmatch(match["rest"]) is None:
        return None
    return _topic_parse("thing_state", match["topic"])


def _next(question: str) -> Parse | None:
    match = _NEXT.match(question)
    if match is None:
        return None
    return _topic_parse("next_of", match["topic"])


def _why(question: str) -> Parse | None:
    match = _WHY.fullmatch(question) or _WHY_NOT.fullmatch(question)
    if match is None:
        return None
    is_past = int(_PAST.search(question) is not None)
    return _topic_parse("why_state", match["topic"], past=is_past)


def _count(question: str) -> Parse | None:
    match = _COUNT.fullmatch(question) or _AT_ALL.fullmatch(question)
    if match is None:
        return None
    words = {word.removesuffix("s") for word in topic_words(match["topic"])}
    if words & _COUNTED_HERE:
        return None
    return _topic_parse("counted", match["topic"])


def _last(question: str) -> Parse | None:
    if _LAST.fullmatch(question) is None or _NUMBER.search(question):
        return None
    return Parse("last_act")


def _acts_on(question: str) -> Parse | None:
    match = _ACTS_ON.fullmatch(question)
    if match is None:
        return None
    period = _PERIOD.search(question)
    return _topic_parse("acts_on", match["topic"], period=period[0] if period else "today")


def _set_up(question: str) -> Parse | None:
    match = _SET_UP.fullmatch(question)
    if match is None:
        return None
    return _topic_parse("set_up", match["topic"])


def _extreme(question: str) -> Parse | None:
    match = _EXTREME.search(question)
    names = quantities_in(question)
    if match is None or len(names) != 1 or _NUMBER.search(question):
        return None
    return Parse("logged_extreme", {"quantity": names[0], "most": int(match["most"] is not None)})


def _trend(question: str) -> Parse | None:
    names = quantities_in(question)
    if _TREND.match(question) is None or len(names) != 1 or _NUMBER.search(question):
        return None
    return Parse("logged_trend", {"quantity": names[0]})


def _power_cut(question: str) -> Parse | None:
    if _POWER.search(question) is None or _LOSS.search(question) is None:
        return None
    if re.search(r"\b(?:if|when|after|once|without|survive|during)\b", question) is None:
        return None
    return Parse("power_cut", {"topic": question})


def _what_if(question: str) -> Parse | None:
    match = _IF.fullmatch(question) or _IF_FIRST.match(question)
    if match is None or _ORDERED.match(match["topic"]):
        return None
    return Parse("what_if", {"topic": match["topic"]})


_READERS: Final[tuple[Callable[[str], Parse | None], ...]] = (
    _free_pins,
    _running,
    _power_cut,
    _what_if,
    _last,
    _acts_on,
    _set_up,
    _extreme,
    _trend,
    _why,
    _count,
    _next,
    _state,
)
