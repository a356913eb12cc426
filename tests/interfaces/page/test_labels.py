"""A board's room and the names of its pins are given in the page, as `microclaw device label` gives them."""

from __future__ import annotations

from playwright.sync_api import Page, expect
from tests.interfaces.page.conftest import PageHost, open_board

from microclaw.programs.changes.device_operations import label


def test_a_room_is_given_and_replaced_a_pin_is_named_and_a_label_is_removed(host: PageHost, page: Page) -> None:
    host.client.call(label, device="virtual-2", labels=["attic-1"])
    open_board(page, "virtual-2", "facts")
    labels = page.get_by_role("region", name="Room and labels")
    for room in ("hall", "kitchen"):
        labels.get_by_role("textbox", name="Room").fill(room)
        labels.get_by_role("button", name="Put it there").click()
        expect(labels).to_contain_text(f"room: {room}")
    expect(labels.get_by_text("room: hall")).to_have_count(0)
    labels.get_by_label("Pin", exact=True).fill("99")
    labels.get_by_label("is called").fill("lamp")
    labels.get_by_role("button", name="Name the pin").click()
    expect(labels.get_by_role("alert")).to_contain_text("99")
    expect(labels.get_by_label("is called")).to_have_value("lamp")
    labels.get_by_label("Pin", exact=True).fill("41")
    labels.get_by_role("button", name="Name the pin").click()
    expect(labels.get_by_role("status")).to_contain_text("lamp")
    labels.get_by_role("button", name="Remove attic-1").click()
    labels.get_by_role("button", name="Yes").click()
    expect(labels.get_by_role("button", name="Remove attic-1")).to_have_count(0)
    facts = host.client.get("/v1/devices/virtual-2")
    assert facts["labels"] == ["room=kitchen"]
    (pin,) = [pin for pin in facts["pins"] if pin["pin"] == 41]
    assert "lamp" in str(pin)
