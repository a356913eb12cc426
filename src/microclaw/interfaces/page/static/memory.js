// What the host remembers for this person: its texts, which can be corrected, a search, and a sentence to be remembered.

import { Question, useAct } from "./acts.js";
import { part } from "./api.js";
import { draftKey, useDraft } from "./drafts.js";
import { DraftState, OrderState, SureButton, useOrders, useReloaded } from "./lists.js";
import { Badge, Choice, Evidence, Heading, Problem, onSent, onText, prose, useAgain, useFetched } from "./parts.js";
import { may } from "./state.js";
import { html, useState } from "./vendor/htm-preact.module.js";

const MEMORY = "MEMORY.md";
const TITLES = [[MEMORY, "What is remembered"], ["USER.md", "About you"]];
const OWNERS = [["SOUL.md", "How it speaks"], ["HEARTBEAT.md", "What it does on its own"]];

export function Memory() {
  const [name, setName] = useState(MEMORY);
  const [round, again] = useAgain();
  const [kept, error] = useFetched("/v1/memory", [round]);
  const notes = (kept?.notes ?? []).map((/** @type {{day: string}} */ note) => [`${note.day}.md`, `Notes of ${note.day}`]);
  return html`<${Heading}>Memory<//>
    ${may("act") && html`<${Remember} done=${again} />`}
    <${Search} />
    <${Problem} error=${error} />
    <p class="buttons"><${Choice} label="Text" value=${name} choices=${[...TITLES, ...notes, ...(may("own") ? OWNERS : [])]} onChoose=${setName} /></p>
    <${Text} key=${`${name} ${round}`} name=${name} />
    <p class="quiet">What the chat remembers for you is yours alone. You can also say "forget ..." in the chat.</p>`;
}

/** A text of the memory: read, corrected, and its lines removed. @param {{name: string}} given */
function Text({ name }) {
  const [kept, error, reload] = useReloaded(`/v1/memory?name=${part(name)}`);
  const [draft, setDraft, isKept] = useDraft(draftKey(["memory", name])); // `was`: the digest of what is changed
  const orders = useOrders(() => {
    setDraft(null);
    reload();
  });
  /** @param {string} text @param {string} was the digest of what was changed */
  const keep = (text, was) => orders.order("PUT", "/v1/memory", { name, text, was });
  if (!kept) return html`<${Problem} error=${error} />`;
  const lines = /** @type {string[]} */ (kept.text.split("\n"));
  const without = (/** @type {number} */ i) => keep(lines.filter((_, at) => at !== i).join("\n"), kept.digest);
  return html`<section class="card" aria-label=${name}><h2>${kept.file}</h2><${Problem} error=${error} />
    ${draft === null && kept.text.trim() === "" && html`<p class="quiet">Nothing stands here yet.</p>`}
    ${draft === null && html`<ul class="rows">${lines.map((line, i) => line.trim() && html`<li key=${i}>${line.startsWith("#") ? html`<b>${line.replace(/^#+ ?/, "")}</b>` : line.replace(/^- /, "")}${" "}
      ${may("act") && !line.startsWith("#") && html`<${SureButton} what="Remove" label=${line.replace(/^- /, "")} disabled=${orders.isBusy} onYes=${() => without(i)} />`}</li>`)}</ul>
      ${may("act") && html`<p class="buttons"><button onClick=${() => setDraft({ text: kept.text, was: kept.digest })}>Edit</button></p>`}`}
    ${draft !== null && html`<form onSubmit=${onSent(() => keep(draft.text, draft.was))}>
      <label class="wide">Text of ${name} <textarea rows="12" value=${draft.text} onInput=${onText((text) => setDraft({ ...draft, text }))} /></label>
      <p class="buttons"><button class="main" disabled=${orders.isBusy}>Save</button></p></form>
      <p class="quiet"><${DraftState} isKept=${isKept} until="saved" discard=${() => setDraft(null)} /></p>`}
    <${OrderState} orders=${orders} /></section>`;
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
      onInput=${onText(setText)} /></label>
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
        onInput=${onText(setWords)} /></label><button>Search</button></p>
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
