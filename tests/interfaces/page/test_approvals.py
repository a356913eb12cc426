"""Questions on the page: what would happen, yes and no, and a second page that was too late."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect
from tests.interfaces.page.conftest import RUNS, OpenPage, PageHost, go, open_board, program_of, say, yes
from tests.interfaces.page.test_editor import open_editor
from tests.interfaces.page.test_views import NARROW, check_and_picture

from microclaw.wire.host_api import StreamResult


@pytest.fixture(scope="module")
def asking_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageHost]:
    """A host that asks before each act."""
    found = PageHost(tmp_path_factory.mktemp("asking") / "home", config='[agent]\napprovals = "always"\n')
    with found.running():
        yield found


def test_two_pages_see_a_question_and_the_second_is_told_how_it_ended(
    asking_host: PageHost, open_page: OpenPage
) -> None:
    page = open_page(asking_host.link())
    second = open_page(asking_host.link())
    go(second, "Activity")
    expect(second.locator("main")).to_contain_text("Nothing waits for a decision.")
    turn = say(page, "blink pin 4 twice a second")
    question = turn.locator(".question")
    expect(question.get_by_role("heading", level=2)).to_contain_text("blink")
    expect(question.locator(".detail")).to_contain_text("#define PIN 4")
    seen = second.locator(".question")
    expect(seen.locator(".detail")).to_contain_text("#define PIN 4")
    expect(seen).to_contain_text("asked by owner, in the browser")
    expect(second.get_by_role("link", name="Activity (1)")).to_be_visible()
    yes(question).click()
    expect(turn.locator(".answer")).to_contain_text(RUNS)
    for each in (question, seen):
        expect(each.locator(".settled")).to_have_text("approved by owner")
        expect(each.get_by_role("button")).to_have_count(0)
    expect(second.get_by_role("link", name="Activity", exact=True)).to_be_visible()


def test_a_question_that_another_sentence_withdrew_says_so(asking_host: PageHost, open_page: OpenPage) -> None:
    page = open_page(asking_host.link())
    asked = say(page, "turn on pin 6")
    expect(yes(asked)).to_be_visible()
    expect(say(page, "what is running?").locator(".answer")).to_be_visible()
    expect(asked.locator(".settled")).to_have_text("withdrawn you said something else")
    go(page, "Activity")
    ended = page.locator("main li", has_text="set pin 6 of virtual-1 high").locator("visible=true")
    expect(ended).to_contain_text("you said something else")


def test_a_question_shows_the_program_its_trial_and_what_changes(asking_host: PageHost, open_page: OpenPage) -> None:
    page = open_page(asking_host.link(), **NARROW)
    second = open_page(asking_host.link(), **NARROW)
    pin = 11
    for rate, half in (("twice", "0.250"), ("five times", "0.100")):
        go(second, "Home")  # what was decided is left behind
        go(second, "Activity")
        turn = say(page, f"blink pin {pin} {rate} a second")
        asked = second.locator(".question .asked")
        expect(asked.get_by_label("pins of the program")).to_contain_text(f"pin {pin}")
        expect(asked.locator("svg.trial path")).to_have_count(1)
        expect(asked).to_contain_text(f"high {half} s, low {half} s")
        shown = asked.locator("code").first.inner_text()
        if rate == "twice":
            expect(asked).to_contain_text("which is new there")
            asked.get_by_text("Where they are on virtual-1").click()
            expect(asked.locator(f"svg.board .held [data-pin='{pin}']")).to_be_visible()
        else:
            expect(asked).to_contain_text("in place of")
            expect(asked.locator(".diff del")).to_contain_text(["-"])
            expect(asked.locator(".diff ins")).to_contain_text(["+"])
            check_and_picture(second, "approval")
        expect(second.locator(".question:has(.asked) .detail")).to_contain_text(f"#define PIN {pin}")
        yes(second.locator(".question")).click()
        name = program_of(turn)
        installed = asking_host.client.get(f"/v1/devices/virtual-1/apps/{name}")
        assert installed["sha256"].startswith(shown), "the yes was for exactly this"
    open_board(page, "virtual-1", "programs")
    page.get_by_role("link", name=name, exact=True).click()
    changed = page.get_by_role("region", name=f"what changed in {name}")
    expect(changed.locator("ins, del")).to_have_text([line for line in installed["before"]["diff"] if line[0] in "+-"])
    assert installed["before"]["diff"] != []
    check_and_picture(page, "program")
    removal = asking_host.client.stream(f"/v1/devices/virtual-1/apps/{name}", method="DELETE")
    assert isinstance(list(removal)[-1], StreamResult)


def test_an_installation_of_the_editor_waits_for_its_yes(asking_host: PageHost, open_page: OpenPage) -> None:
    page = open_page(asking_host.link())
    open_editor(page)
    page.get_by_role("textbox", name="Name", exact=True).fill("asked")
    for decision, word in (("No", "declined"), (None, "approved")):
        page.get_by_role("button", name="Install on virtual-1").click()
        installed = page.get_by_role("region", name="installation")
        expect(installed.locator(".question .detail")).to_contain_text("gpio_open(2, GPIO_OUT)")
        (yes(installed) if decision is None else installed.get_by_role("button", name=decision)).click()
        expect(installed.locator(".settled")).to_have_text(f"{word} by owner")
        if decision == "No":
            expect(installed.get_by_role("alert")).to_contain_text("declined by owner")
    expect(installed.locator(".evidence .badge")).to_have_text("counted")


def test_a_turn_that_waits_is_cancelled(asking_host: PageHost, open_page: OpenPage) -> None:
    page = open_page(asking_host.link())
    turn = say(page, "blink pin 6 twice a second")
    expect(turn.locator(".question")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(turn.locator(".settled")).to_be_visible()
    expect(turn.locator(".answer")).to_be_visible()
    expect(turn.locator(".question").get_by_role("button")).to_have_count(0)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_a_schedule_that_asks_first_is_kept_only_after_the_yes(asking_host: PageHost, open_page: OpenPage) -> None:
    page = open_page(asking_host.link())
    go(page, "Schedules")
    form = page.get_by_role("form", name="A new schedule")
    form.get_by_label("When").fill("every day at 08:00")
    form.get_by_label("Do what").fill("turn on pin 4")
    for decision in ("No", None):
        form.get_by_role("button", name="Add").click()
        question = form.locator(".question")
        expect(question).to_contain_text("turn on pin 4")
        assert asking_host.client.get("/v1/schedules")["schedules"] == []
        (yes(question) if decision is None else question.get_by_role("button", name=decision, exact=True)).click()
        if decision == "No":
            expect(form.locator(".problem")).to_contain_text("declined")
            expect(form.get_by_label("Do what")).to_have_value("turn on pin 4")
    expect(form.get_by_role("status").first).to_contain_text("is kept")
    assert [one["what"] for one in asking_host.client.get("/v1/schedules")["schedules"]] == ["turn on pin 4"]
    expect(page.locator("li.card")).to_have_count(1)
