"""Models on the network: Anthropic's Messages, and chat completions as OpenAI has them. With tools, not streaming.

Inside is Anthropic's form: messages of `role` and `content`, which is a text or blocks (text, tool_use, tool_result).
"""

import json

from agent.http import HttpError
from agent.text import cut, loads

MAX_TOKENS = 2048
MAX_CALLS = 8  # of one answer
ANSWER_S = 120
PLACES = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}
MODELS = {"anthropic": "claude-opus-4-6", "openai": "gpt-4o-mini"}


class Reply:
    """`calls` are (id, name, input); `content` is the message's own blocks, to be sent back with the results."""

    def __init__(self, text, calls):
        self.text = text
        self.calls = calls[:MAX_CALLS]
        self.content = [{"type": "text", "text": text}] if text else []
        for id, name, input in self.calls:
            self.content.append({"type": "tool_use", "id": id, "name": name, "input": input})


class Model:
    def __init__(self, http, options):
        self._http = http
        self._options = options

    @property
    def is_given(self):
        """Whether the person gave a key, or an address of a server of their own that wants none."""
        return bool(self._options.get("api_key") or self._options.get("model_url"))

    async def ask(self, system, messages, tools):
        """The model's Reply. HttpError in words for a person."""
        provider = self._options.get("provider", "anthropic")
        base = self._options.get("model_url") or PLACES[provider]
        key = self._options.get("api_key", "") if base.startswith("https://") else ""  # never in clear
        name = self._options.get("model") or MODELS[provider]
        while base.endswith("/"):
            base = base[:-1]
        if provider == "anthropic":
            url, headers = base + "/v1/messages", [("anthropic-version", "2023-06-01")]
            if key:
                headers.append(("x-api-key", key))
            asked = {"model": name, "max_tokens": MAX_TOKENS, "system": system, "messages": messages, "tools": tools}
        else:
            url, headers = base + "/chat/completions", [("Authorization", "Bearer " + key)] if key else []
            asked = {"model": name, "max_tokens": MAX_TOKENS, "messages": _for_openai(system, messages)}
            asked["tools"] = [_function(tool) for tool in tools]
        body = json.dumps(asked).encode()
        del asked
        status, answer = await self._http.request("POST", url, headers, body, ANSWER_S)
        del body
        if status != 200:
            raise HttpError(_refusal(status, answer, key))
        try:
            return _from_anthropic(loads(answer)) if provider == "anthropic" else _from_openai(loads(answer))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            raise HttpError("the model's server answered something that is no answer of a model")


def _refusal(status, answer, key):
    """What a server says instead of an answer, without the key, which some repeat."""
    words = ""
    try:
        error = loads(answer).get("error")
        words = error.get("message") if isinstance(error, dict) else error
    except (ValueError, AttributeError):
        pass  # an error page: the number says enough
    words = words if isinstance(words, str) else ""
    if key:
        words = words.replace(key, "****")
    return "the model's server refuses (HTTP {}){}".format(status, ": " + cut(words, 200) if words else "")


def _from_anthropic(answer):
    text, calls = [], []
    for block in answer["content"]:
        if block["type"] == "text":
            text.append(_of(block["text"], str))
        elif block["type"] == "tool_use":
            calls.append((_of(block["id"], str), _of(block["name"], str), _of(block["input"], dict)))
    return Reply("\n".join(text), calls)


def _from_openai(answer):
    message = answer["choices"][0]["message"]
    calls = []
    for call in message.get("tool_calls") or ():
        function = call["function"]
        try:
            given = loads((function.get("arguments") or "{}").encode())
        except ValueError:
            given = None
        # What is no object is told to the model as a call without its inputs.
        calls.append((_of(call["id"], str), _of(function["name"], str), given if isinstance(given, dict) else {}))
    return Reply(_of(message.get("content") or "", str), calls)


def _of(value, kind):
    if not isinstance(value, kind):
        raise ValueError("not " + kind.__name__)
    return value


def _for_openai(system, messages):
    rows = [{"role": "system", "content": system}]
    for message in messages:
        content = message["content"]
        if isinstance(content, str):
            rows.append(message)
        elif message["role"] == "user":
            for block in content:
                rows.append({"role": "tool", "tool_call_id": block["tool_use_id"], "content": block["content"]})
        else:
            said = "".join([block["text"] for block in content if block["type"] == "text"])
            row = {"role": "assistant", "content": said or None}
            row["tool_calls"] = [_call(block) for block in content if block["type"] == "tool_use"]
            rows.append(row)
    return rows


def _call(block):
    function = {"name": block["name"], "arguments": json.dumps(block["input"])}
    return {"id": block["id"], "type": "function", "function": function}


def _function(tool):
    function = {"name": tool["name"], "description": tool["description"], "parameters": tool["input_schema"]}
    return {"type": "function", "function": function}
