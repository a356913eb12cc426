"""A sentence that says "not" anywhere never acts, whatever else it says."""

from __future__ import annotations

import asyncio

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.offline.score import CHANGING
from tests.offline.test_offline_sentences import AT_ONCE, PROGRAMS

from microclaw.boards.reader import load_board
from microclaw.models.protocol import DeviceContext, KnownDevice, ModelReply, ModelRequest, UserText
from microclaw.offline.model import OfflineModel

SENTENCES = [sentence for sentence, _ in PROGRAMS] + [sentence for sentence, _, _ in AT_ONCE]
NEGATIONS = [
    "not",
    "don't",
    "do not",
    "never",
    "dont",
    "Don’t",
    "no",
    "cannot",
    "won't",
    "must not",
    "DO NOT",
    "unless",
]


def _respond(sentence: str) -> ModelReply:
    device = KnownDevice("virtual-1", load_board("virtual"))
    request = ModelRequest("", (UserText(sentence),), (), scene=DeviceContext((device,), device))
    return asyncio.run(OfflineModel().respond(request))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SENTENCES), st.sampled_from(NEGATIONS), st.floats(0, 1))
def test_no_sentence_with_a_negation_acts(sentence: str, negation: str, where: float) -> None:
    words = sentence.split()
    words.insert(round(where * len(words)), negation)
    assume("pin no " not in " ".join(words))  # "pin no 2" is number 2
    reply = _respond(" ".join(words))
    assert not [call for call in reply.calls if call.name in CHANGING]
    assert reply.calls or reply.failed_code is not None
