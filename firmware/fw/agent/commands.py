"""The agent's console commands, MimiClaw's names. A secret goes in by the cable only, and is never shown again."""

import asyncio
import binascii
import os

from shown import shown

HELP = """agent_status           host first, or the board itself; model, chats
set_api_key KEY        a model's key, for when the host is away; "" takes it out
set_model NAME         and set_model_provider anthropic|openai, set_model_url URL
set_search_key KEY     of Brave's search
set_tg_token TOKEN     a Telegram bot of the board's own
tg_allow CHAT_ID       and tg_deny CHAT_ID: who may talk to it
gateway_token          makes one and opens the chat on port 18789; gateway_token off
ca_pem LINE            each line of a CA's PEM file; ca_list, ca_clear
memory_read            and memory_write TEXT: MEMORY.md
session_list           and session_clear NAME
skill_write NAME LINE  adds a line to skills/NAME.md, the first says when; skill_list, skill_show, skill_remove NAME
tool_exec TOOL A=B     one of the model's tools, as the model would call it: tool_exec gpio_write pin=4 level=1
heartbeat_trigger      look at HEARTBEAT.md now
cron_list              jobs"""
KEYS = {
    "set_api_key": ("api_key", "API key"),
    "set_model": ("model", "Model"),
    "set_model_provider": ("provider", "Model provider"),
    "set_model_url": ("model_url", "Model address"),
    "set_search_key": ("search_key", "Search key"),
    "set_tg_token": ("tg_token", "Telegram token"),
}
MAX_PEM_BYTES = 8192
MAX_SKILLS = 16
MAX_SKILL_BYTES = 3000  # what read_file gives the model at once


def perform(agent, words):
    """The answer; None for a command that is not the agent's."""
    name, given = words[0], words[1:]
    try:
        if name in KEYS and len(given) == 1:
            return _set(agent, *KEYS[name], given[0])
        if name in ("tg_allow", "tg_deny") and len(given) == 1:
            return _allow(agent, int(given[0]), name == "tg_allow")
        if name == "gateway_token":
            return _gateway_token(agent, given)
        if name == "ca_pem" and given:
            return _ca_pem(agent, " ".join(given))
        if name == "memory_write" and given:
            agent.store.write("memory/MEMORY.md", " ".join(given))
            return "MEMORY.md written"
        if name == "session_clear" and len(given) == 1:
            agent.store.remove("sessions/" + given[0] + ".jsonl" if "/" not in given[0] else "")
            return "session cleared"
        if name == "skill_write" and len(given) > 1:
            return _skill_write(agent, given[0], " ".join(given[1:]))
        if name in ("skill_show", "skill_remove") and len(given) == 1:
            return _skill(agent, given[0], name == "skill_remove")
        if name == "tool_exec" and given:
            return _tool_exec(agent, given[0], given[1:])
        simple = {
            "help": lambda: HELP,
            "agent_status": lambda: _status(agent),
            "memory_read": lambda: agent.store.read("memory/MEMORY.md") or "(empty)",
            "session_list": lambda: _names(agent, "sessions"),
            "skill_list": lambda: _names(agent, "skills"),
            "ca_list": lambda: _names(agent, "ca"),
            "ca_clear": lambda: _ca_clear(agent),
            "heartbeat_trigger": lambda: agent.beat_now() or "heartbeat follows",
            "cron_list": lambda: "\n".join([str(job.get("name")) for job in agent.cron.jobs]) or "(none)",
        }
        return simple[name]() if name in simple and not given else None
    except (ValueError, OSError) as exc:
        return "error: {}".format(exc)


def _set(agent, name, title, value):
    if name == "provider" and value not in ("anthropic", "openai", ""):
        raise ValueError("anthropic or openai")
    if name == "model_url" and value:
        from agent.http import HttpError, parts_of

        try:
            parts_of(value)
        except HttpError as exc:
            raise ValueError(str(exc))
    if any(not 33 <= ord(sign) < 127 for sign in value):
        raise ValueError("letters, digits and signs without spaces")
    agent.options.change(**{name: value or None})
    return "{} {}".format(title, "saved" if value else "taken out")


def _allow(agent, chat, is_allowed):
    chats = [known for known in agent.options.get("tg_chats", []) if known != chat]
    agent.options.change(tg_chats=chats + [chat] if is_allowed else chats)
    return "chats that may talk: {}".format(agent.options.get("tg_chats"))


def _gateway_token(agent, given):
    if given == ["off"]:
        agent.options.change(gateway_token=None)
        return "the chat gateway closes"
    if given:
        raise ValueError("gateway_token, or gateway_token off")
    token = binascii.hexlify(os.urandom(16)).decode()
    agent.options.change(gateway_token=token)
    return "{}\nshown once; what is said there is in clear on your network".format(token)


def _ca_pem(agent, line):
    """Lines come one by one; the certificate counts from its last line on."""
    part = "ca/new"
    text = "" if line.startswith("-----BEGIN") else agent.store.read(part)
    if len(text) > MAX_PEM_BYTES:
        raise ValueError("that is no certificate: it has no end")
    agent.store.write(part, text + line + "\n")
    if not line.startswith("-----END"):
        return "more"
    from agent.http import certificates

    with open(agent.store.root + "/" + part, "rb") as file:
        found = list(certificates(file))
    agent.store.remove(part)
    if len(found) != 1:
        raise ValueError("that is no certificate in PEM form")
    number = 1 + len(agent.store.names("ca"))
    with open("{}/ca/{}.der".format(agent.store.root, number), "wb") as file:
        file.write(found[0])
    return "certificate authority {} saved".format(number)


def _skill_path(agent, name):
    return agent.store.own("skills/{}.md".format(name))


def _skill_write(agent, name, line):
    path, there = _skill_path(agent, name), agent.store.names("skills")
    if len(there) >= MAX_SKILLS and name + ".md" not in [row[0] for row in there]:
        raise ValueError("{} skills are there: skill_remove one".format(MAX_SKILLS))
    text = agent.store.read(path) + line + "\n"
    if len(text.encode()) > MAX_SKILL_BYTES:
        raise ValueError("a skill has at most {} bytes".format(MAX_SKILL_BYTES))
    agent.store.write(path, text)
    return "{}: {} bytes".format(path, len(text.encode()))


def _skill(agent, name, is_removed):
    path = _skill_path(agent, name)
    text = agent.store.read(path)
    if not text:
        raise ValueError("there is no skill {}: skill_list".format(name))
    if is_removed:
        agent.store.remove(path)
    return "removed" if is_removed else text


def _tool_exec(agent, name, words):
    """What it comes to is printed when it is there: some tools wait."""
    given = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not key or not sign:
            raise ValueError('parameters are NAME=VALUE: tool_exec gpio_read pin=4, "content=two words"')
        given[key] = {"true": True, "false": False}.get(value, int(value) if value.lstrip("-").isdigit() else value)
    agent.running = asyncio.create_task(_print(agent, name, given))
    return "tool_exec {}: the result follows".format(name)


async def _print(agent, name, given):
    result, is_error = await agent.tools.perform(name, given)
    print("tool_exec {} {}: {}".format(name, "failed" if is_error else "ok", shown(result, b"\n")))


def _ca_clear(agent):
    for name, _ in agent.store.names("ca"):
        agent.store.remove("ca/" + name)
    return "no certificate authority is trusted now"


def _names(agent, folder):
    return "\n".join(["{} ({} bytes)".format(*row) for row in agent.store.names(folder)]) or "(none)"


def _status(agent):
    options = agent.options
    rows = ["answers: {}".format("the board itself" if agent.away else "the host")]
    rows.append("model: {}".format("given" if agent.model.is_given else "none"))
    rows.append("gateway: {}".format("open" if agent.gateway.server else "closed"))
    rows.append("telegram: {}".format(agent.telegram.problem or ("on" if options.get("tg_token") else "off")))
    if agent.telegram.refused is not None:
        rows.append(
            "last chat that may not talk: {} (tg_allow {})".format(agent.telegram.refused, agent.telegram.refused)
        )
    return "\n".join(rows)
