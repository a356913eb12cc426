// What the host remembers for this person: the text, the latest notes, a search, and a sentence to be remembered.

import { Question, useAct } from "./acts.js";
import { useReloaded } from "./lists.js";
import { Badge, Evidence, Heading, Problem, onSent, prose, useFetched } from "./parts.js";
import { may } from "./state.js";
import { html, useState } from "./vendor/htm-preact.module.js";

export function Memory() {
  const [kept, error, reload] = useReloaded("/v1/memory");
  return html`<${Heading}>Memory<//>
    ${may("act") && html`<${Remember} done=${reload} />`}
    <${Search} />
    <${Problem} error=${error} />
    ${kept && html`<h2>${kept.file}</h2>${kept.text.trim()
      ? html`<pre tabindex="0" aria-label="What is remembered" class="detail">${kept.text}</pre>`
      : html`<p class="quiet">Nothing is remembered yet.</p>`}
      ${kept.notes.map((/** @type {any} */ one) => html`<h2 key=${one.day}>Notes of ${one.day}</h2><pre>${one.text}</pre>`)}
      <p class="quiet">What you see here is yours alone. To change or remove lines: <code>microclaw memory edit</code>, or say "forget ..." in the chat.</p>`}`;
}

/** @param {{done: () => void}} given */
function Remember({ done }) {
  const [act, begin] = useAct();
  const [text, setText] = useState("");
  const isBusy = act !== null && !act.isOver;
  const result = act?.result;

  const submit = () => begin("POST", "/v1/tools/remember", { arguments: { text } }).then(done);
  return html`<form class="card" aria-label="Remember" onSubmit=${onSent(submit)}>
    <label class="wide">Remember <input class="wide" value=${text} required maxlength="1000" placeholder="the relay on pin 5 is the fan"
      onInput=${(/** @type {any} */ e) => setText(e.currentTarget.value)} /></label>
    <p class="buttons"><button class="main" disabled=${isBusy}>Remember it</button></p>
    <div role="status">
      ${act?.questions.map((question) => html`<${Question} key=${question.approval_id} question=${question} isCut=${act.isOver} />`)}
      ${result?.ok && result.evidence.map((/** @type {any} */ one) => html`<${Evidence} evidence=${one} />`)}
    </div>
    ${result && !result.ok && html`<${Problem} error=${{ message: result.content.message ?? result.content.error ?? "it was refused", next: result.next }} />`}
    <${Problem} error=${act?.error} />
  </form>`;
}

function Search() {
  const [words, setWords] = useState("");
  const [asked, setAsked] = useState("");
  return html`<form class="card" role="search" onSubmit=${onSent(() => setAsked(words.trim()))}>
      <p class="buttons"><label>Search memory and conversations <input type="search" value=${words} maxlength="1000"
        onInput=${(/** @type {any} */ e) => setWords(e.currentTarget.value)} /></label><button>Search</button></p>
      ${asked && html`<${Matches} key=${asked} words=${asked} />`}
    </form>`;
}

/** @param {{words: string}} given */
function Matches({ words }) {
  const [found, error] = useFetched(`/v1/memory/search?q=${encodeURIComponent(words)}&limit=20`);
  return html`<${Problem} error=${error} />
    <p class="quiet" role="status">${found && (found.found.length === 0 ? `Nothing is found for ${words}.` : `${found.found.length} found`)}</p>
    <ul class="rows matches">${(found?.found ?? []).map((/** @type {any} */ one) => html`<li><${Badge} state=${one.kind} /> ${prose(one.text)}${" "}
      <span class="quiet">${[one.source, one.day].filter(Boolean).join(", ")}</span></li>`)}</ul>`;
}
