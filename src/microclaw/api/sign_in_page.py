"""The two pages that a browser gets before there is a page for boards: what this is, and the sign-in by a link.

Constant text: nothing that a device, a person or a request said is in it. All addresses are relative: behind Home
Assistant's ingress the pages are below a path.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

_STYLE: Final = (
    "body{font:16px/1.5 system-ui;max-width:40rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "input,button{font:inherit;padding:.4rem .6rem;margin:.2rem 0}label{display:block}"
)
# The code stands behind the #: a browser sends that part to nobody, so that it is in no log.
_SCRIPT: Final = """
const say = (text) => { document.getElementById("say").textContent = text; };
const come = async (path, body) => {
  say("one moment");
  const answer = await fetch(path, {method: "POST", headers: {"Content-Type": "application/json"},
    body: JSON.stringify(body)});
  const found = await answer.json();
  if (answer.ok) { location.replace("./"); return; }
  say(found.error.message + (found.error.next_step ? " (next: " + found.error.next_step + ")" : ""));
};
const code = location.hash.slice(1);
if (code) { history.replaceState(null, "", "signin"); come("v1/signin/code", {code}).catch((e) => say(String(e))); }
document.getElementById("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const value = (id) => document.getElementById(id).value;
  come("v1/signin/password", {name: value("name"), password: value("password")}).catch((e) => say(String(e)));
});
"""
# Who is here, and the way out. Text alone is put in: a name is never read as HTML.
_FRONT_SCRIPT: Final = """
const who = document.getElementById("who");
fetch("v1/me").then(async (answer) => {
  if (!answer.ok) return;
  const me = await answer.json();
  who.textContent = "You are signed in as " + me.name + " (" + me.role + "). ";
  const out = document.createElement("button");
  out.textContent = "Sign out";
  out.addEventListener("click", async () => {
    await fetch("v1/signout", {method: "POST", headers: {"Microclaw-CSRF": me.csrf}});
    location.reload();
  });
  who.append(out);
});
"""


def _hash_source(text: str) -> str:
    """How a policy names one inline text (CSP level 3, section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _policy(script: str) -> str:
    return (
        f"default-src 'none'; script-src {_hash_source(script)}; style-src {_hash_source(_STYLE)}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _document(title: str, body: str, script: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style>{body}<script>{script}</script></html>"
    )


FRONT_PAGE: Final = _document(
    "microclaw",
    '<h1>microclaw</h1><p id="who">You are not signed in: <a href="signin">sign in</a>.</p>'
    "<p>This is the address of a microclaw host: it puts checked programs on small boards. There is no page for boards "
    "here yet. Talk to the host with <code>microclaw chat</code>, in Telegram, over MCP, or by its API.</p>"
    '<p><a href="api/docs">The API</a> · <a href="healthz">Is it alive?</a></p>',
    _FRONT_SCRIPT,
)
SIGN_IN_PAGE: Final = _document(
    "Sign in to microclaw",
    "<h1>Sign in</h1><p>On the host's machine <code>microclaw open</code> prints a link that signs you in once.</p>"
    "<noscript><p>This page needs JavaScript; the command line does not.</p></noscript>"
    '<form id="form"><label>Name <input id="name" autocomplete="username" maxlength="80" required></label>'
    '<label>Password <input id="password" type="password" autocomplete="current-password" maxlength="128" required>'
    '</label><button>Sign in</button></form><p id="say" role="status"></p>',
    _SCRIPT,
)


def page_router() -> APIRouter:
    router = APIRouter(tags=["pages"], default_response_class=HTMLResponse)

    @router.get("/", summary="What this address is")
    async def front() -> HTMLResponse:
        return _page(FRONT_PAGE, _FRONT_SCRIPT)

    @router.get("/signin", summary="Sign in by a link or a password")
    async def sign_in() -> HTMLResponse:
        return _page(SIGN_IN_PAGE, _SCRIPT)

    return router


def _page(text: str, script: str) -> HTMLResponse:
    return HTMLResponse(text, headers={"Content-Security-Policy": _policy(script), "Cache-Control": "no-store"})
