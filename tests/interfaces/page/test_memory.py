"""What the chat remembers is read, corrected and removed in the page, by the operation of `microclaw memory edit`."""

from __future__ import annotations

from playwright.sync_api import Page, expect
from tests.interfaces.page.conftest import OpenPage, PageHost, go

from microclaw.agent.knowledge.operations import edit_memory


def put(host: PageHost, text: str) -> None:
    was = host.client.get("/v1/memory")["digest"]
    host.client.call(edit_memory, text=text, was=was)


def test_a_line_of_the_memory_is_removed_and_another_one_corrected(host: PageHost, page: Page) -> None:
    put(host, "# Memory\n\n- the lamp is on pin 2\n- the fan is on pin 5\n")
    go(page, "Memory")
    text = page.get_by_role("region", name="MEMORY.md")
    text.get_by_role("button", name="Remove the lamp is on pin 2").click()
    text.get_by_role("button", name="Yes").click()
    expect(text.get_by_role("listitem")).to_have_count(2)
    assert host.client.get("/v1/memory")["text"] == "# Memory\n\n- the fan is on pin 5\n"
    text.get_by_role("button", name="Edit").click()
    text.get_by_role("textbox").fill("# Memory\n\n- the fan is on pin 6\n")
    text.get_by_role("button", name="Save").click()
    expect(text).to_contain_text("the fan is on pin 6")
    expect(text.get_by_role("textbox")).to_have_count(0)
    assert host.client.get("/v1/memory")["text"] == "# Memory\n\n- the fan is on pin 6\n"


def test_a_text_that_was_changed_meanwhile_is_not_replaced_and_nothing_typed_is_lost(
    host: PageHost, page: Page
) -> None:
    put(host, "- the bell is on pin 7\n")
    go(page, "Memory")
    text = page.get_by_role("region", name="MEMORY.md")
    expect(text).to_contain_text("the bell is on pin 7")
    text.get_by_role("button", name="Edit").click()
    put(host, "- the bell is on pin 8\n")
    text.get_by_role("textbox").fill("- mine\n")
    text.get_by_role("button", name="Save").click()
    expect(text.get_by_role("alert")).to_contain_text("was changed meanwhile")
    expect(text.get_by_role("textbox")).to_have_value("- mine\n")
    assert host.client.get("/v1/memory")["text"] == "- the bell is on pin 8\n"


def test_an_edit_that_is_not_saved_stays_over_other_views_and_a_load_until_it_is_discarded(
    host: PageHost, page: Page
) -> None:
    put(host, "- the pump is on pin 9\n")
    go(page, "Memory")
    text = page.get_by_role("region", name="MEMORY.md")
    text.get_by_role("button", name="Edit").click()
    text.get_by_role("textbox").fill("- unsaved\n")
    go(page, "Home")
    go(page, "Memory")
    expect(text.get_by_role("textbox")).to_have_value("- unsaved\n")
    page.reload()
    expect(text.get_by_role("textbox")).to_have_value("- unsaved\n")
    text.get_by_role("button", name="Discard the draft").click()
    text.get_by_role("button", name="Yes").click()
    expect(text).to_contain_text("the pump is on pin 9")
    assert host.client.get("/v1/memory")["text"] == "- the pump is on pin 9\n"


def test_a_person_edits_their_own_texts_and_a_guest_only_reads(host: PageHost, open_page: OpenPage) -> None:
    for name, role in (("mia", "member"), ("gus", "guest")):
        host.client.post("/v1/people", {"name": name, "role": role})
    put(host, "- the owner's secret\n")
    members = open_page(host.link("mia"))
    go(members, "Memory")
    members.get_by_role("combobox", name="Text").select_option("About you")
    text = members.get_by_role("region", name="USER.md")
    text.get_by_role("button", name="Edit").click()
    text.get_by_role("textbox").fill("I like short answers.")
    text.get_by_role("button", name="Save").click()
    expect(text).to_contain_text("I like short answers.")
    expect(members.get_by_role("combobox", name="Text").get_by_role("option")).to_have_count(2)
    assert host.client.get("/v1/memory?name=USER.md")["text"] == ""
    guests = open_page(host.link("gus"))
    go(guests, "Memory")
    expect(guests.get_by_role("region", name="MEMORY.md")).to_contain_text("Nothing stands here yet.")
    expect(guests.get_by_role("button", name="Edit")).to_have_count(0)
    expect(guests.get_by_text("the owner's secret")).to_have_count(0)
