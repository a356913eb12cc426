"""The forms of answers about compilers, and OpenAI's."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from microclaw.builds.confinement import Confinement
from microclaw.operations.result import Finding


class CompilerFacts(TypedDict):
    """`message` and `next`: why it is not there, and how to get it."""

    compiler: str
    available: bool
    version: NotRequired[str | None]
    message: NotRequired[str | None]
    next: NotRequired[str | None]


class Compilers(TypedDict):
    """`compiler`: the one that is used; `sandbox`: how it is shut off."""

    available: bool
    compiler: NotRequired[str | None]
    sandbox: NotRequired[Confinement | None]
    message: NotRequired[str | None]
    next: NotRequired[str | None]
    compilers: list[CompilerFacts]
    boards: list[str]


class ModuleMemory(TypedDict):
    initialBytes: int
    staticBytes: int
    stackBytes: int | None


class CompiledModule(TypedDict):
    """`wasm` is base64."""

    success: Literal[True]
    name: str
    wasm: str
    size: int
    sha256: str
    compiler: str
    flags: list[str]
    language: str
    compileMs: float
    cached: bool
    board: str
    imports: list[str]
    exports: list[str]
    memory: ModuleMemory
    pins: list[int]
    warnings: list[Finding]


class ModelFacts(TypedDict):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(TypedDict):
    object: Literal["list"]
    data: list[ModelFacts]


class CompletionMessage(TypedDict):
    role: Literal["assistant"]
    content: str
    refusal: None


class CompletionChoice(TypedDict):
    index: int
    message: CompletionMessage
    logprobs: None
    finish_reason: Literal["stop"]


class CompletionUsage(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(TypedDict):
    """OpenAI's form; `microclaw` says what the host did, and how it knows (docs/openai.md)."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage
    microclaw: dict[str, Any]
