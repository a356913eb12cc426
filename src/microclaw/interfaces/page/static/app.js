// The page's beginning: who is here, the views by path, the navigation, the line that says when the host is away.

import { BASE, shownPath } from "./api.js";
import { Activity } from "./activity.js";
import { Board } from "./board.js";
import { Chat } from "./chat.js";
import { ofStorage } from "./drafts.js";
import { Editor } from "./editor.js";
import { Flash } from "./flash.js";
import { Home } from "./home.js";
import { OrderState, useOrders } from "./lists.js";
import { Memory } from "./memory.js";
import { Choice, Heading, Icon, Link, Problem, prose } from "./parts.js";
import { People } from "./people.js";
import { Rollouts } from "./rollouts.js";
import { Schedules } from "./schedules.js";
import { SignInAgain, SignInPage, signInByLink } from "./signin.js";
import { may, onChange, start, state, update } from "./state.js";
import { Usage } from "./usage.js";
import { html, render, useEffect, useErrorBoundary, useRef, useState } from "./vendor/htm-preact.module.js";

/** Those with an icon are in the bar, the others behind the gear. @type {{path: string, title: string, access: "look" | "ask" | "act" | "own", icon?: string, view?: (given: any) => any}[]} */
const VIEWS = [
  { path: "/", title: "Home", access: "look", icon: "home" },
  { path: "/chat", title: "Chat", access: "ask", icon: "chat" },
  { path: "/editor", title: "Editor", access: "ask", icon: "editor", view: Editor },
  { path: "/activity", title: "Activity", access: "ask", icon: "activity", view: Activity },
  { path: "/schedules", title: "Schedules", access: "ask", view: Schedules },
  { path: "/memory", title: "Memory", access: "ask", view: Memory },
  { path: "/rollouts", title: "Rollouts", access: "own", view: Rollouts },
  { path: "/flash", title: "Flash a board", access: "own", view: Flash },
  { path: "/people", title: "People", access: "own", view: People },
  { path: "/usage", title: "Usage", access: "look", view: Usage },
];

/** The parts of a view's path. @param {string} path */
function partsOf(path) {
  return path.split("/").filter(Boolean).map((part) => {
    try {
      return decodeURIComponent(part);
    } catch (error) {
      if (!(error instanceof URIError)) throw error;
      return part; // somebody typed it
    }
  });
}

/** What the browser's tab is called. @param {string} path */
function titleOf(path) {
  const [first, one, tab = "bench", program] = partsOf(path);
  if (first === "boards" && one) return program ? `${program} on ${one}` : `${one}: ${tab}`;
  if (first === "editor" && one) return `Editor: ${tab} on ${one}`;
  return VIEWS.find((known) => known.path === `/${first ?? ""}`)?.title ?? "no such view";
}

/** Whether a path is that of a view or of a part of it; each board is Home's. @param {string} path @param {{path: string}} view */
function isIn(path, view) {
  return view.path === "/" ? path === "/" || path.startsWith("/boards") : path.startsWith(view.path);
}

/** @param {{path: string}} given */
function View({ path }) {
  const [first, ...rest] = partsOf(path);
  const [error, reset] = useErrorBoundary((problem) => console.error(problem));
  if (error) {
    return html`<${Problem} error=${{ message: `this view failed: ${error.message}`, next: "load the page again" }} />
      <button onClick=${reset}>Try again</button>`;
  }
  if (first === undefined || (first === "boards" && rest.length === 0)) return html`<${Home} />`;
  if (first === "boards") return html`<${Board} key=${rest[0]} name=${rest[0]} tab=${rest[1] ?? "bench"} program=${rest[2]} />`;
  if (first === "chat") return null; // it is kept, also while another view is shown
  const found = VIEWS.find((one) => one.path === `/${first}`);
  if (found?.view) return may(found.access) ? html`<${found.view} key=${rest.join("/")} rest=${rest} />` : html`<${Heading}>${found.title}<//><p>Your role may not look at this. An owner of this host may.</p>`;
  return html`<${Heading}>There is no such view<//><p><${Link} to="/">Home<//></p>`;
}

function Theme() {
  const root = document.documentElement;
  const [theme, setTheme] = useState(root.dataset.theme ?? "system");
  /** @param {string} chosen */
  const choose = (chosen) => {
    if (chosen === "system") delete root.dataset.theme;
    else root.dataset.theme = chosen;
    setTheme(chosen);
    ofStorage(() => localStorage.setItem("microclaw.theme", chosen)); // without storage it counts until the page is closed
  };
  return html`<${Choice} label="Colours" value=${theme} choices=${["system", "light", "dark"]} onChoose=${choose} />`;
}

function Person() {
  const orders = useOrders(() => location.assign(`${BASE}/`));
  return html`<span class="person">${state.me?.name} ${state.me?.role !== state.me?.name && html`<span class="quiet">${state.me?.role}</span>`}</span>
    <button onClick=${() => orders.order("POST", "/v1/signout")}>Sign out</button><${OrderState} orders=${orders} />`;
}

/** What a person should know of the connection; silent while all is well. */
function Connection() {
  const { live, liveWhy } = state;
  const text = {
    away: `The host is away: is it running? This page tries again by itself; what you see is from before.`,
    polling: `Live events are blocked${liveWhy ? ` (${liveWhy})` : ""}. This page asks every 2 seconds instead.`,
    connecting: "",
    stream: "",
  }[live];
  return html`<div class=${`connection ${live}`} role="status" data-live=${live}>${prose(text)}</div>`;
}

/** What is behind the gear; Esc, a press elsewhere and a view that is chosen there close it. @param {{path: string}} given */
function Menu({ path }) {
  const { status } = state;
  const menu = useRef(/** @type {HTMLDetailsElement | null} */ (null));
  useEffect(() => menu.current?.removeAttribute("open"), [path]);
  useEffect(() => {
    const leave = (/** @type {any} */ { target }) => {
      if (!menu.current?.contains(target)) menu.current?.removeAttribute("open");
    };
    addEventListener("pointerdown", leave);
    return () => removeEventListener("pointerdown", leave);
  }, []);
  const close = (/** @type {KeyboardEvent} */ { key }) => {
    if (key !== "Escape") return;
    menu.current?.removeAttribute("open");
    menu.current?.querySelector("summary")?.focus();
  };
  return html`<details class="menu" ref=${menu} onKeyDown=${close}><summary aria-label="More"><${Icon} name="gear" /></summary>
    <div><nav aria-label="More views">${VIEWS.filter((one) => !one.icon && may(one.access)).map((one) =>
        html`<${Link} key=${one.path} to=${one.path} current=${isIn(path, one)}>${one.title}<//>`)}</nav>
      <p class="buttons"><${Theme} /></p><p class="buttons">${status?.host && html`<span class="quiet" data-host
        title="The host of the cluster that this page shows">host ${status.host}</span>`}<${Person} /></p></div></details>`;
}

/** @param {{path: string}} given */
function Shell({ path }) {
  const waiting = state.approvals.length;
  const chat = useRef("");
  const isChat = path.startsWith("/chat");
  const isHome = path === "/" || path === "/boards";
  if (path.startsWith("/chat/")) chat.current = partsOf(path)[1] ?? "";
  useEffect(() => {
    document.title = `${waiting > 0 ? `(${waiting}) ` : ""}${titleOf(path)} - microclaw`;
  }, [path, waiting]);
  return html`<a class="skip" href="#main">To the content</a>
    <header>
      <span class="brand">microclaw</span>
      <nav class="bar" aria-label="Views">
        ${VIEWS.filter((one) => one.icon && may(one.access)).map((one) => html`<${Link} key=${one.path} to=${one.path}
          current=${isIn(path, one)}><${Icon} name=${one.icon} /><span>${one.title}${one.path === "/activity" && waiting > 0 ? ` (${waiting})` : ""}</span><//>`)}
      </nav>
      <${Menu} path=${path} />
    </header>
    <${Connection} />
    <main id="main" class=${path.startsWith("/editor") ? "broad" : ""}>
      ${state.left && html`<${Problem} error=${state.left} /><button onClick=${() => update({ left: null })}>Close this message</button>`}
      ${may("ask") && html`<div key="chat" hidden=${!isChat && !isHome}><${Chat} name=${chat.current} isShown=${isChat} isHome=${isHome} /></div>`}
      <${View} key=${path.split("/")[1]} path=${path} />
    </main>
    <footer class="quiet">${state.status && `microclaw ${state.status.version} · ${state.status.model} · `}<a href=${`${BASE}/api/openapi.json`}>API</a></footer>
    ${state.isOver && html`<${SignInAgain} />`}`;
}

/** @param {{error: any}} given what went wrong with the link that this page was opened with */
function Page({ error }) {
  useEffect(() => {
    if (state.phase === "out") document.title = "Sign in - microclaw";
  }, [state.phase]);
  if (state.phase === "in") return html`<${Shell} path=${shownPath()} />`;
  if (state.phase === "out") return html`<${SignInPage} error=${error} />`;
  return html`<main class="plain"><h1>microclaw</h1><${Connection} /><p class="quiet">One moment.</p></main>`;
}

async function main() {
  if (document.documentElement.classList.contains("old")) return; // the document says it
  const error = await signInByLink();
  const place = /** @type {HTMLElement} */ (document.getElementById("page"));
  const draw = () => render(html`<${Page} error=${error} />`, place);
  place.textContent = "";
  onChange(draw);
  addEventListener("popstate", draw);
  addEventListener("pageshow", (event) => event.persisted && location.reload()); // Back shows nothing of a session that ended
  draw();
  await start();
}

void main();

