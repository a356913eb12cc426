"""The page's files as they are served, and what they may and may not hold. No browser."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from starlette.routing import Router
from starlette.testclient import TestClient

from microclaw.host.operations.operation import Access
from microclaw.interfaces.api.access import access_of
from microclaw.interfaces.api.failures import AnswersInForm
from microclaw.interfaces.api.operation_routes import by_hand_routes
from microclaw.interfaces.page.static_files import POLICY, STATIC, VIEWS, page_files, part_drawings

OWN = (*sorted(STATIC.glob("*.js")), *part_drawings())
KIT_MODULES = ("svg", "hands", "shapes", "pixels", "segments", "characters", "plain_part")
KIT = tuple(f"../../{name}.js" for name in KIT_MODULES)  # all that a part's drawing knows of the page
VENDORED = (STATIC / "vendor", Path(__file__).parent / "vendor")
SVG_NAME = "http://www.w3.org/2000/svg"  # the namespace of SVG elements: a name, not an address
MAX_LINES = 7_060  # 6,000 is wanted: the bench, the drawings of 39 parts, adding parts and the player came at once
FIRST_LOAD_BYTES = 270_000
LATER = "vendor/codemirror.js"  # the editor's alone
LATER_BYTES = 200_000


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(AnswersInForm(Router(by_hand_routes({"page": None}))))


def test_the_document_is_at_each_view_and_nowhere_else(client: TestClient) -> None:
    for path in (*VIEWS, "/boards/kitchen/programs/blink", "/editor/kitchen/blink"):
        answer = client.get(path.replace("{rest:path}", "kitchen"))
        assert answer.status_code == 200
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.text.startswith("<!doctype html>")
        assert access_of("GET", path.replace("{rest:path}", "kitchen")) is Access.OPEN
    for path in ("/kitchen", "/memory/more", "/page/", "/page/no.js"):
        assert client.get(path).status_code == 404


def test_the_document_names_every_script_that_the_first_one_needs(client: TestClient) -> None:
    document = client.get("/boards/kitchen/pins").text
    named = re.findall(r'<link rel="modulepreload" href="../../(page/[^"]+)">', document)
    assert len(set(named)) == len(named)
    for name in named:
        assert client.get(f"/{name}").headers["content-type"].startswith("text/javascript")
        imported = re.findall(
            r"^(?:import|\}|export) .*from \"\./([^\"]+)\"", (STATIC / name[5:]).read_text(), re.MULTILINE
        )
        assert {f"page/{one}" for one in imported} <= set(named)
    assert "page/app.js" in named


@pytest.mark.parametrize("name", ["../files.py", "..%2Ffiles.py", "vendor", "vendor/vendored.toml", "/etc/hostname"])
def test_only_known_files_are_sent(client: TestClient, name: str) -> None:
    answer = client.get(f"/page/{name}")
    assert answer.status_code == 404
    assert answer.json()["error"]["next"]


def test_a_kept_file_is_asked_about_and_not_sent_again(client: TestClient) -> None:
    first = client.get("/page/app.js", headers={"Accept-Encoding": "gzip"})
    assert first.headers["content-encoding"] == "gzip"
    assert first.text == (STATIC / "app.js").read_text()
    for known in (first.headers["etag"], f'"other", W/{first.headers["etag"]}', "*"):
        again = client.get("/page/app.js", headers={"If-None-Match": known, "Accept-Encoding": "gzip"})
        assert (again.status_code, again.content) == (304, b"")
    assert client.get("/page/app.js", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("header", "packs"),
    [
        ("gzip", True),
        ("GZIP;q=0.5, br", True),
        ("*", True),
        ("gzip;q=0", False),
        ("*, gzip; q=0.0", False),
        ("deflate, gzipx", False),
        ("identity", False),
        ("", False),
    ],
)
def test_it_is_packed_for_those_who_take_it_and_has_a_tag_of_its_own(
    client: TestClient, header: str, packs: bool
) -> None:
    plain = client.get("/page/app.js", headers={"Accept-Encoding": "identity"})
    answer = client.get("/page/app.js", headers={"Accept-Encoding": header})
    assert ("content-encoding" in answer.headers) is packs
    assert (answer.headers["etag"] != plain.headers["etag"]) is packs
    assert answer.content == plain.content


def test_the_policy_allows_no_inline_script_or_style_and_no_other_host() -> None:
    assert "unsafe" not in POLICY
    assert not re.search(r"https?:|\*", POLICY)
    document = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\son\w+=", document)


@pytest.mark.parametrize("path", OWN, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_own_scripts_write_no_html_and_ask_no_other_host(path: Path) -> None:
    text = path.read_text().replace(SVG_NAME, "")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|style=\"", text)
    assert "https://" not in text
    assert "http://" not in text
    imported = re.findall(r"^(?:import|export) .* from \"([^\"]+)\"", text, re.MULTILINE)
    if path.name == "draw.js":
        assert set(imported) <= set(KIT)
    else:
        assert all(one.startswith("./") and (STATIC / one).is_file() for one in imported)


def test_own_scripts_stay_small() -> None:
    lines = {str(path): len(path.read_text().splitlines()) for path in OWN if path.suffix == ".js"}
    assert sum(lines.values()) <= MAX_LINES
    assert max(lines.values()) <= 300, lines


def test_the_whole_page_is_small_on_the_wire() -> None:
    sizes = {name: len(file.packed) for name, file in page_files().items()}
    assert sizes.pop(LATER) <= LATER_BYTES
    # A drawing is fetched only if its part is wired.
    first_load = [size for name, size in sizes.items() if not name.startswith("parts/")]
    assert sum(first_load) <= FIRST_LOAD_BYTES


def test_the_editors_bundle_is_fetched_only_when_it_is_needed() -> None:
    named = [path.name for path in OWN if LATER in path.read_text()]
    assert named == ["code.js"]
    text = (STATIC / "code.js").read_text()
    assert f'import("./{LATER}")' in text
    assert not re.search(rf"^import [^(]*{LATER}", text, re.MULTILINE)


def test_the_editors_bundle_is_of_the_packages_that_its_script_pins() -> None:
    listed = tomllib.loads((VENDORED[0] / "vendored.toml").read_text())["file"]
    packages = next(one["packages"] for one in listed if LATER.endswith(one["name"]))
    script = (Path(__file__).parents[3] / "scripts" / "editor_bundle.sh").read_text()
    pinned = re.search(r"packages=\((.*?)\)", script, re.DOTALL)
    assert pinned is not None
    assert sorted(f"{name}@{version}" for name, version in packages.items()) == sorted(pinned[1].split())
    licences = (VENDORED[0] / "codemirror.LICENSE.txt").read_text()
    assert all(f"{name}@{version}\n" in licences for name, version in packages.items())
