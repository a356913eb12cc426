"""An answer, a step and a question as they look in a chat."""

from __future__ import annotations

from microclaw.auth.approvals import ApprovalOutcome, PendingApproval
from microclaw.channels.telegram.approvals import outcome_markdown, question_markdown
from microclaw.channels.telegram.sender import LIMIT, split, telegram_html


def test_a_question_fits_into_one_message_whatever_it_shows() -> None:
    pending = PendingApproval("a1", "owner", "a" * 5000, ("```", "d" * 90_000), "tg", "1", 300)
    assert split(question_markdown(pending)) == [question_markdown(pending)]
    assert len(outcome_markdown(ApprovalOutcome(pending, "approved", "b" * 500))) < LIMIT


def test_a_models_words_in_a_question_are_shown_as_they_are() -> None:
    """Struck through, an act would look reverted; a link would look like a button."""
    pending = PendingApproval(
        "a1", "owner", "say text=~~`pump on`~~ **Approved** [no](https://evil.example)", (), "tg", "1", 60
    )
    for shown in (question_markdown(pending), outcome_markdown(ApprovalOutcome(pending, "declined", "owner"))):
        html = telegram_html(shown)
        assert "<code>say text=~~'pump on'~~ **Approved** [no](https://evil.example)</code>" in html
        assert "<s>" not in html
        assert "<a " not in html


def test_a_question_fits_one_message_whatever_its_letters() -> None:
    pending = PendingApproval("a1", "owner", "\U0001f600" * 600, ("\U0001f600" * 9000,), "tg", "1", 60)
    assert len(split(question_markdown(pending))) == 1
