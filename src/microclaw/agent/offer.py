"""The tools that a request to a model offers, in few words. It runs no tool; every tool stays callable by name.

A model gets at most MAX_OFFERED: what most requests need, then what the person's words are about. `more-tools` lists
the rest by name and has the wanted ones offered from the next request on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from microclaw.auth.gate import Effect, Permission
from microclaw.models.protocol import AssistantReply, Message, ToolReturn, ToolSpec, UserText
from microclaw.operations.tool import Parameters, Tool, ToolContext, ToolOutput, object_schema

MAX_OFFERED: Final = 12
MORE_TOOLS: Final = "more-tools"
_MAX_NAMED: Final = 60  # names in the description of more-tools; `about` finds the others
_MAX_FOUND: Final = 8
_MAX_SAID_CHARS: Final = 4000
_SELDOM: Final = frozenset({"deviceIp", "optimizationLevel", "anyone", "offset"})  # taken, but not told
_CLEAR: Final = frozenset({"device", "pin", "level", "heapSize"})  # the system prompt and their names say what they are
_DROPPED: Final = frozenset(
    {"title", "default", "minLength", "maxLength", "maxItems", "pattern", "additionalProperties"}
)

_FIRST: Final = ("deploy-wasm-app", "query-wasm-apps", "uninstall-wasm-app", "gpio-set", "gpio-get", "undo")
_USUAL: Final = ("pwm-set", "adc-read", "i2c-read", "skill", "remember")  # while there is room
_ABOUT: Final[Mapping[str, str]] = {
    "schedule-add": r"\b\d{1,2}[:h]\d\d\b|\b(?:at|um|à|a las) \d{1,2}\b(?! ?(?:%|percent|hz|v|degrees))|o'clock|uhr"
    r"|remind|schedul|timer|alarm|tomorrow|tonight|daily|morning|evening|midnight|noon|weekday"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day|in (?:\d+|an?|half an) (?:min|hour|day|week)"
    r"|every (?:day|hour|week|month|night)|heartbeat"
    r"|morgen|täglich|erinner|demain|chaque jour|mañana|cada día|recuérda|明天|每天|提醒|点",
    "schedule-list": r"schedul|remind|planned|geplant|erinner|programmé|recordator|计划|提醒",
    "schedule-remove": r"(?:cancel|remove|delete|stop|forget|pause|resume|suspend)"
    r".{0,40}(?:schedul|remind|every|daily|at \d)",
    "switch-program": r"\b(?:re)?start(?:s|ed|ing)?\b(?! (?:at|on|in|with) )|\bstop|\bpause|\bresum|\bhalt"
    r"|anhalten|stopp|neu ?start|arrête|redémarr|detén|reinicia|停止|重启",
    "set-program-times": r"\b(?:run|runs|repeat|begin)\b.{0,40}\b(?:every|each|for \d|for an?)\b|interval"
    r"|\bstop\b.{0,30}\bafter\b|läuft alle|lauf alle|toutes les|cada \d",
    "act-on-boards": r"everywhere|(?:all|each|every|both|several)(?: of)?(?: the| my)? (?:board|device|room|lamp)s?\b"
    r"|\bin the (?!morning|evening|afternoon|background|next|last)\w|\bon \S+(?:, \S+)* and \S+"
    r"|überall|alle[nr]? geräte|partout|en todas partes|所有",
    "restart-device": r"(?:restart|reboot|reset)|neu ?start|redémarr|reinicia|重启",
    "free-pins": r"\bfree\b|unused|spare|which pins?|(?:use|connect|wire).{0,20}pin|pin.{0,20}(?:taken|used)",
    "i2c-scan": r"i2c|sensor|wire|wiring|connect|address|\b0x\d|display",
    "device-info": r"chip|firmware|flash|version|which board|what board|board facts",
    "device-status": r"uptime|memory|heap|wi-?fi|signal|rssi|online|reset|reboot|status|alive",
    "check-device": r"\bcheck|reach|answer|connect|offline|online|alive|wrong with|erreich|prüf|joign|检查|在线",
    "list-devices": r"devices|boards|all of them|which ones|geräte|appareils|dispositivos|设备",
    "catalog": r"catalog|ready[- ]made|examples|templates?\b|(?:what|which) (?:programs|can you)|"
    r"katalog|beispiele|modèles|plantillas|示例",
    "read-edges": r"edge|puls|how often|how many times|count|frequency|toggled|changed",
    "read-logs": r"\blogs?\b|print|output|say|said|message|why|crash|trap|wrong",
    "try-program": r"\btry|\btest|simulat|virtual|dry run|without (?:deploy|install)",
    "forget": r"forget|vergiss|oublie|olvida|忘",
    "recall": r"remember|recall|last time|earlier|yesterday|did (?:i|we)|told you|what do you know|erinner|gestern",
    "skill": r"how (?:do|can|to)|step by step|guide|skill|help me|wire|wiring",
    "web-search": r"search|internet|web|google|look up|find out|news|weather|datasheet|such",
    "web-fetch": r"https?://|www\.|internet|website|web ?page|url|datasheet|weather|news",
    "list-files": r"files?\b|folder|workspace|notes?\b|datei",
    "read-file": r"files?\b|workspace|\.\w{2,4}\b|datei",
    "write-file": r"write|save|files?\b|workspace|report|csv|datei",
    "delete-file": r"(?:delete|remove).{0,30}file",
    "say": r"\btell (?!me\b)|\bsay\b|message|send|notify|inform",
    "notify": r"notify|show|speak|say|announce|display|alert|warn|aloud",
    "run-code": r"plot|chart|graph|diagram|\bdraw|calculat|comput|analy[sz]|statistic|averag|python|javascript|script"
    r"|\bcode\b|csv|correlat|histogram|zeichne|berechne|dessine|calcule|dibuja|gráfic|画|图",
    "time": r"what time|time is|what day|date|uhr|wie spät|heure",
    "subagent-start": r"background|subagent|helper|meanwhile|compare|research|in parallel",
    "subagent-list": r"subagent|helper",
    "subagent-cancel": r"(?:cancel|stop|end).{0,30}(?:subagent|helper)",
}
_PATTERNS: Final = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _ABOUT.items()}
_WORD: Final = re.compile(r"[^\W\d_]{4,}")


class MoreParameters(Parameters, kw_only=True):
    names: Annotated[tuple[str, ...], Meta(max_length=20)] = ()
    about: Annotated[str, Meta(max_length=200, description="Or words that find some.")] | None = None


def more_tools(tools: Callable[[], Sequence[Tool[Any]]]) -> Tool[Any]:
    """more-tools. `tools` gives every tool, as they are now."""

    async def more(asked: MoreParameters, _: ToolContext) -> ToolOutput:
        every = [tool for tool in tools() if tool.name != MORE_TOOLS]
        found = [tool for tool in every if tool.name in asked.names]
        if asked.about:
            ranked = sorted(every, key=lambda tool: -_shared(tool, asked.about or ""))
            found += [t for t in ranked[:_MAX_FOUND] if _shared(t, asked.about) and t not in found]
        unknown = [name for name in asked.names if name not in {tool.name for tool in found}]
        fields: dict[str, Any] = {"success": bool(found), "offered": {tool.name: tool.description for tool in found}}
        if unknown or not found:
            fields |= {"unknown": unknown, "names": [tool.name for tool in every]}
        return ToolOutput(fields, foreign=any(tool.schema is not None for tool in found))

    return Tool(MORE_TOOLS, "", MoreParameters, Permission.READ, Effect.READ, more)


def offered(
    tools: Iterable[Tool[Any]], messages: Sequence[Message], skills: Collection[str] = (), named: Collection[str] = ()
) -> tuple[ToolSpec, ...]:
    """The tools that a request with these messages offers, in an order that seldom changes.

    `skills` are active, and name the tools `named`. What the model called or asked more-tools for in this turn is
    offered however many there are.
    """
    known = {tool.name: tool for tool in tools}
    open_now = [t for t in known.values() if t.skill is None or t.skill in skills or t.name in named]
    if MORE_TOOLS not in known:
        return tuple(brief(tool) for tool in open_now)
    said = _subject(messages)
    ordinary = [tool for tool in open_now if tool.name != MORE_TOOLS]
    names = {tool.name for tool in ordinary}
    of_skills = [t.name for t in ordinary if t.skill is not None or t.name in named]
    rated = {tool.name: _fit(tool, said) for tool in ordinary}
    fitting = sorted((name for name in rated if rated[name]), key=lambda name: -rated[name])
    wanted = dict.fromkeys(name for name in (*_FIRST, *of_skills, *fitting, *_USUAL) if name in names)
    picked = {*list(wanted)[: MAX_OFFERED - 1], *_called(messages)}
    rest = [tool.name for tool in known.values() if tool.name not in picked and tool.name != MORE_TOOLS]
    return (*(brief(tool) for tool in ordinary if tool.name in picked), _more_spec(known[MORE_TOOLS], rest))


def _subject(messages: Sequence[Message]) -> str:
    """The person's newest words, those before, and the question that a "yes" answers."""
    texts = [message.text for message in messages if isinstance(message, UserText)][-2:]
    answers = [message.text for message in messages if isinstance(message, AssistantReply) and not message.calls][-1:]
    asked = [text for text in answers if text.rstrip().endswith("?")]
    return "\n".join(text[:_MAX_SAID_CHARS] for text in (*texts, *asked))


def _called(messages: Sequence[Message]) -> frozenset[str]:
    """The tools that were called, and those that more-tools was asked for or found."""
    names: set[str] = set()
    for message in messages:
        if isinstance(message, AssistantReply):
            names.update(call.name for call in message.calls)
        elif isinstance(message, ToolReturn) and message.name == MORE_TOOLS:
            names.update(_found(message.content))
    return frozenset(names)


def _found(content: str) -> Collection[str]:
    """The tools in a result of more-tools."""
    try:
        offered = json.loads(content)["offered"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ()
    return offered if isinstance(offered, dict) else ()


def brief(tool: Tool[Any]) -> ToolSpec:
    """A tool as a model sees it: its arguments by name, type and purpose, without what it seldom needs."""
    if tool.schema is not None:  # it may be of any form and stays whole
        return ToolSpec(tool.name, tool.description, json.dumps(tool.schema, separators=(",", ":")))
    parameters: type[Struct] = tool.told or tool.parameters
    return ToolSpec(tool.name, tool.description, _brief_schema(parameters))


@lru_cache(maxsize=512)
def _brief_schema(parameters: type[Struct]) -> str:
    schema = object_schema(parameters)
    shared = schema.get("$defs", {})
    given = {n: _plain(f, shared) for n, f in schema.get("properties", {}).items() if n not in _SELDOM}
    for name in given.keys() & _CLEAR:
        given[name].pop("description", None)
    brief = {"type": "object", "properties": given, **({"required": r} if (r := schema.get("required")) else {})}
    return json.dumps(brief, separators=(",", ":"))


def _plain(field: Any, shared: Mapping[str, Any]) -> Any:
    """A field's schema without nulls, titles, references and limits of length."""
    if isinstance(field, list):
        return [_plain(one, shared) for one in field]
    if not isinstance(field, dict):
        return field
    if "$ref" in field:
        return _plain(shared[field["$ref"].rpartition("/")[2]], shared)
    choices = [one for one in field.get("anyOf", ()) if one.get("type") != "null"]
    if len(choices) == 1:
        field = {**choices[0], **{key: value for key, value in field.items() if key != "anyOf"}}
    kept = {key: value for key, value in field.items() if key not in _DROPPED}
    if kept.get("maximum") != 1:  # a wrong number is explained when it comes
        kept = {key: value for key, value in kept.items() if key not in ("minimum", "maximum")}
    return {
        key: {name: _plain(one, shared) for name, one in value.items()}
        if key == "properties"
        else _plain(value, shared)
        for key, value in kept.items()
    }


def _more_spec(tool: Tool[Any], rest: Sequence[str]) -> ToolSpec:
    names = ", ".join(rest[:_MAX_NAMED])
    more = f" and {len(rest) - _MAX_NAMED} more, found by `about`" if len(rest) > _MAX_NAMED else ""
    return ToolSpec(tool.name, f"Offers more: {names}{more}.", brief(tool).schema)


def _fit(tool: Tool[Any], said: str) -> float:
    """A score of a tool for these words: by its pattern, for one of an MCP server by the words they share."""
    pattern = _PATTERNS.get(tool.name.replace("_", "-"))
    if pattern is not None:
        return 2.0 if pattern.search(said) else 0.0
    return 0.0 if tool.name in (*_FIRST, *_USUAL) else float(_shared(tool, said))


def _shared(tool: Tool[Any], said: str) -> int:
    own = {word.lower()[:6] for word in _WORD.findall(f"{tool.name.replace('_', ' ')} {tool.description}")}
    return len(own & {word.lower()[:6] for word in _WORD.findall(said)})
