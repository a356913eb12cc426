"""What an answer, a step and a question look like in a chat."""

from __future__ import annotations

from microclaw.auth.approvals import PendingApproval
from microclaw.channels.telegram.answer import answer_markdown, outcome_markdown, question_markdown, step_line
from microclaw.channels.telegram.sender import LIMIT, split, telegram_html
from microclaw.events import Answer, Edge, Evidence, Step


def test_evidence_that_the_answer_says_already_is_not_repeated() -> None:
    answer = Answer(
        "It blinks. Counted on the board: 2 edges.", evidence=(Evidence("counted", "counted on the board: 2 edges"),)
    )
    assert answer_markdown(answer) == answer.text


def test_evidence_names_its_kind_once() -> None:
    assert (
        answer_markdown(Answer("On.", evidence=(Evidence("accepted", "no read-back"),)))
        == "On.\n\naccepted: no read-back"
    )
    counted = Answer("On.", evidence=(Evidence("counted", "counted 1 edge"),))
    assert answer_markdown(counted) == "On.\n\ncounted 1 edge"


def test_every_pin_has_its_track() -> None:
    edges = tuple(Edge(100.0 * n, pin, n % 2) for n in range(4) for pin in (2, 4))
    shown = answer_markdown(Answer("Both.", evidence=(Evidence("counted", "8 edges", (*edges, Edge(5, 7, 1))),)))
    assert shown.count("4 edges, one every 100 ms") == 2
    assert "pin 7: one edge, to 1" in shown
    assert shown.count("```") == 2


def test_what_to_do_next_is_below() -> None:
    assert answer_markdown(Answer("No.", next_step="microclaw up")) == "No.\n\nnext: `microclaw up`"


def test_a_step_is_one_line() -> None:
    assert step_line(Step("compile", "4 KB   side note", took_ms=51)) == "compile ✓ 4 KB (51 ms)"
    assert step_line(Step("try", "no\nedges", state="failed")) == "try ✗ no edges"
    assert len(step_line(Step("code", "x" * 5000))) < 120


def test_a_question_fits_into_one_message_whatever_it_shows() -> None:
    pending = PendingApproval("a1", "owner", "a" * 5000, ("```", "d" * 90_000), "tg", "1", 300)
    assert split(question_markdown(pending)) == [question_markdown(pending)]
    assert "No answer in 5 min is a no." in question_markdown(pending)
    assert len(outcome_markdown(pending, "approved", "b" * 500)) < LIMIT


def test_a_models_words_in_a_question_are_shown_as_they_are() -> None:
    """Struck through, an act would look taken back; a link would look like a button."""
    pending = PendingApproval(
        "a1", "owner", "say text=~~`pump on`~~ **Approved** [no](https://evil.example)", (), "tg", "1", 60
    )
    for shown in (question_markdown(pending), outcome_markdown(pending, "declined", "owner")):
        html = telegram_html(shown)
        assert "<code>say text=~~'pump on'~~ **Approved** [no](https://evil.example)</code>" in html
        assert "<s>" not in html
        assert "<a " not in html


def test_a_question_fits_one_message_whatever_its_letters() -> None:
    pending = PendingApproval("a1", "owner", "\U0001f600" * 600, ("\U0001f600" * 9000,), "tg", "1", 60)
    assert len(split(question_markdown(pending))) == 1
