"""A model is believed about a picture only after it has shown that it sees pictures."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.models.model_server import openai_reply, server
from tests.models.seeing import image_of, names_stripes, sees, stripes_of

from microclaw.errors import BudgetSpent, ModelError
from microclaw.models.protocol import AskedBy, Image, ModelReply
from microclaw.models.providers import OpenAIProviderModel
from microclaw.models.scripted import ScriptedModel, say
from microclaw.models.sight import PictureReader, Seen, striped_png

BY = AskedBy("anna", "voice", "kitchen")
PHOTO = Image("image/jpeg", b"\xff\xd8\xff photo \xff\xd9")


def read_stripes(body: dict[str, Any]) -> dict[str, Any]:
    """What a server that passes pictures on answers."""
    [picture] = [part for part in body["messages"][-1]["content"] if part["type"] == "image_url"]
    png = base64.b64decode(picture["image_url"]["url"].removeprefix("data:image/png;base64,"))
    return openai_reply(" ".join(stripes_of(png)))


def test_the_stripes_are_a_picture_of_their_colours() -> None:
    assert stripes_of(striped_png(["blue", "white", "red"])) == ["blue", "white", "red"]


async def test_a_server_that_passes_pictures_on_is_asked_for_the_photo() -> None:
    async with server((200, read_stripes), (200, openai_reply("A cat on a chair."))) as served:
        model = OpenAIProviderModel("test-model", base_url=f"{served.url}/v1", timeout_s=10)
        reader = PictureReader(model)
        await reader.check(BY)
        assert await reader.read(PHOTO, "what is there?", BY) == Seen("A cat on a chair.", "test-model")
        photo = str(served.bodies[1]["messages"])
        assert base64.b64encode(PHOTO.data).decode() in photo
        assert "what is there?" in photo
        assert "tools" not in served.bodies[1]
        await model.aclose()


async def test_a_server_that_drops_pictures_is_found_out() -> None:
    async with server((200, openai_reply("A red, a green and a red stripe."))) as served:
        model = OpenAIProviderModel("test-model", base_url=f"{served.url}/v1", timeout_s=10)
        with pytest.raises(ModelError, match="this host's model cannot see pictures: test-model was shown") as caught:
            await PictureReader(model).check(BY)
        assert "[model.tasks.photo]" in (caught.value.next_step or "")
        await model.aclose()


@pytest.mark.parametrize("status", [400, 500])
async def test_a_server_that_refuses_a_picture_is_quoted(status: int) -> None:
    refusal = {"error": {"message": "image input is not supported"}}
    async with server((status, refusal)) as served:
        model = OpenAIProviderModel("test-model", base_url=f"{served.url}/v1", timeout_s=10)
        with pytest.raises(ModelError, match="this host's model takes no picture"):
            await PictureReader(model).check(BY)
        await model.aclose()


async def test_a_host_without_a_model_says_so() -> None:
    with pytest.raises(ModelError, match="no model that could see pictures"):
        await PictureReader(None).check(BY)


async def test_a_model_shows_once_that_it_sees_and_each_request_is_the_persons() -> None:
    model = ScriptedModel([*sees("A cat."), say("A dog.")])
    reader = PictureReader(model)
    for expected in ("A cat.", "A dog."):
        await reader.check(BY)
        assert (await reader.read(PHOTO, "what is there?", BY)).text == expected
    assert len(model.requests) == 3
    assert {(request.task, request.asked_by) for request in model.requests} == {("photo", BY)}
    assert [image_of(request) for request in model.requests[1:]] == [PHOTO.data] * 2


async def test_another_model_that_answers_instead_has_to_show_it_too() -> None:
    blind = ModelReply("A cat.", model="second")
    model = ScriptedModel([names_stripes, blind, ModelReply("I see no picture", model="second")])
    reader = PictureReader(model)
    await reader.check(BY)
    with pytest.raises(ModelError, match="second was shown 3 stripes"):
        await reader.read(PHOTO, "what is there?", BY)
    seeing = ScriptedModel([names_stripes, blind, lambda request: names_stripes(request, "second")])
    reader = PictureReader(seeing)
    await reader.check(BY)
    assert await reader.read(PHOTO, "what is there?", BY) == Seen("A cat.", "second")


async def test_a_model_that_changes_in_between_is_not_believed() -> None:
    model = ScriptedModel([names_stripes, ModelReply("A cat.", model="second"), names_stripes])
    reader = PictureReader(model)
    await reader.check(BY)
    with pytest.raises(ModelError, match="whether it sees pictures is not known"):
        await reader.read(PHOTO, "what is there?", BY)


async def test_what_has_nothing_to_do_with_the_picture_is_told_as_it_is() -> None:
    with pytest.raises(BudgetSpent, match="used up"):
        await PictureReader(ScriptedModel([BudgetSpent("used up")])).check(BY)
    reader = PictureReader(ScriptedModel([names_stripes, say(" ")]))
    await reader.check(BY)
    with pytest.raises(ModelError, match="said nothing about the picture"):
        await reader.read(PHOTO, "what is there?", BY)
