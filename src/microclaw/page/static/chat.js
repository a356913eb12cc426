// The chat: a sentence, the steps that follow, questions, the answer with its evidence; cancel and undo.

import { Act, ActView, run, useAct } from "./acts.js";
import { ApiError, HostAway, get, part, send } from "./api.js";
import { Evidence, Link, Problem, prose } from "./parts.js";
import { may, state, useStore } from "./state.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";

const CHAT = "page";
const MAX_TURNS = 100;
const [MAX_KEPT, MAX_KEPT_CHARS] = [20, 200_000]; // turns that a reload of this tab brings back
const [LOOK_MS, LONGEST_LOOK_MS] = [2_000, 60_000]; // for answers that came late: between, a tenth of the time they are late
const EXAMPLES = ["blink the led twice a second", "what runs on the boards?", "blink pin 26"];

/** Tools whose acts on boards undo takes back; after an undo it would take back what came before. */
const UNDOABLE = ["deploy-wasm-app", "uninstall-wasm-app", "switch-program", "set-program-times", "gpio-set", "pwm-set", "correct", "act-on-boards"];

/** @typedef {{n: number, text: string, act: Act, isBefore?: boolean}} Turn `isBefore`: this page was loaded again since */

/** In this tab alone, and of this person. */
function keptKey() {
  return `microclaw.chat/${encodeURIComponent(state.me?.name ?? "")}`;
}

/** @returns {Turn[]} */
function keptTurns() {
  try {
    return JSON.parse(sessionStorage.getItem(keptKey()) ?? "[]").map((/** @type {any} */ one) =>
      ({ n: one.n, text: one.text, isBefore: true, act: Object.assign(new Act(), one.act) }));
  } catch (error) {
    if (!(error instanceof DOMException || error instanceof SyntaxError)) throw error;
    return []; // storage is off, or it is not ours
  }
}

/** @param {Turn[]} turns */
function keepTurns(turns) {
  const kept = turns.slice(-MAX_KEPT).map(({ n, text, act: { answer, error, isOver } }) =>
    ({ n, text, act: { answer, error: error && { message: error.message, next: error.next }, isOver } }));
  while (kept.length > 0 && JSON.stringify(kept).length > MAX_KEPT_CHARS) kept.shift();
  try {
    sessionStorage.setItem(keptKey(), JSON.stringify(kept));
  } catch (error) {
    if (!(error instanceof DOMException)) throw error; // storage is off, or full: a reload loses them
  }
}

/** Looks for answers that came while no page listened, as long as turns of before a reload wait. @param {Turn[]} turns @param {(answers: any[]) => void} came */
function useLateAnswers(turns, came) {
  const [looks, setLooks] = useState(0);
  const since = useRef(Date.now());
  const waits = turns.some((turn) => turn.isBefore && !turn.act.isOver);
  useEffect(() => {
    if (!waits) return undefined;
    const timer = setTimeout(async () => {
      try {
        const { messages } = await get(`/v1/chat/${CHAT}/undelivered`);
        const answers = messages.filter((/** @type {any} */ one) => one.kind === "answer").map((/** @type {any} */ one) => one.answer);
        if (answers.length > 0) {
          await send("POST", `/v1/chat/${CHAT}/delivered`, { outbound_ids: answers.map((/** @type {any} */ one) => one.outbound_id) });
          came(answers);
        }
      } catch (error) {
        if (!(error instanceof ApiError || error instanceof HostAway)) throw error; // it is asked again
      }
      setLooks((count) => count + 1);
    }, Math.max(LOOK_MS, Math.min((Date.now() - since.current) / 10, LONGEST_LOOK_MS)));
    return () => clearTimeout(timer);
  }, [waits, looks]);
}

export function Chat() {
  const store = useStore();
  const [turns, setTurns] = useState(keptTurns);
  const [, again] = useState(0);
  const [text, setText] = useState("");
  const [device, setDevice] = useState("");
  const [error, setError] = useState(/** @type {any} */ (null));
  const end = useRef(/** @type {HTMLElement | null} */ (null));
  const ends = turns.map((turn) => `${turn.n} ${turn.act.isOver}`).join();
  useEffect(() => keepTurns(turns), [ends]);
  useLateAnswers(turns, (answers) => setTurns((before) => {
    for (const turn of before.filter((one) => one.isBefore && !one.act.isOver).slice(0, answers.length)) turn.act.isOver = true;
    const n = before.at(-1)?.n ?? 0;
    return [...before, ...answers.map((answer, i) => ({ n: n + i + 1, text: "", isBefore: true, act: Object.assign(new Act(), { answer, isOver: true }) }))].slice(-MAX_TURNS);
  }));
  const isBusy = turns.some((turn) => !turn.act.isOver);

  /** @param {string} said */
  const say = (said) => {
    if (!said.trim()) return;
    const turn = { n: (turns.at(-1)?.n ?? 0) + 1, text: said, act: new Act() };
    setTurns((before) => [...before, turn].slice(-MAX_TURNS));
    setText("");
    const body = { text: said, chat_id: CHAT, ...(device ? { device } : {}) };
    void run(turn.act, () => again((count) => count + 1), "POST", "/v1/chat", body);
  };
  const cancel = async () => {
    try {
      await send("POST", `/v1/chat/${part(CHAT)}/cancel`);
    } catch (problem) {
      setError(problem);
    }
  };
  const last = turns.at(-1);
  useEffect(() => end.current?.scrollIntoView({ block: "end" }), [turns.length, last?.act.steps.length, last?.act.isOver]);

  return html`${turns.length === 0 && html`<p class="quiet">Say what a board should do. For example:
      ${EXAMPLES.map((one) => html` <button key=${one} onClick=${() => setText(one)}>${one}</button>`)}</p>`}
    <ol class="turns">${turns.map((turn) => html`<${TurnView} key=${turn.n} turn=${turn} isNewest=${turn === last} />`)}</ol>
    <form class="say" onSubmit=${(/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      say(text);
    }}>
      <label class="wide"><span class="hidden">Message</span>
        <textarea rows="2" maxlength="20000" value=${text} placeholder="blink the led twice a second"
          onInput=${(/** @type {any} */ event) => setText(event.currentTarget.value)}
          onKeyDown=${(/** @type {KeyboardEvent} */ event) => {
            if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            say(text);
          }} /></label>
      <p class="buttons">
        ${store.devices.length > 1 && html`<label>Board <select value=${device}
          onChange=${(/** @type {any} */ event) => setDevice(event.currentTarget.value)}>
          <option value="">as the sentence says</option>
          ${store.devices.map((one) => html`<option key=${one.device_id} value=${one.name}>${one.name}</option>`)}</select></label>`}
        <button class="main">Send</button>
        ${isBusy && html`<button type="button" onClick=${cancel}>Cancel</button>`}
      </p>
    </form>
    <${Problem} error=${error} /><div ref=${end}></div>`;
}

/** Undo takes back what was done last, so only the newest turn offers it. @param {{turn: Turn, isNewest: boolean}} given */
function TurnView({ turn, isNewest }) {
  const { act } = turn;
  const [undoing, undo] = useAct();
  const answer = act.answer;
  const changed = answer?.actions.some((/** @type {any} */ one) => one.outcome === "done" && UNDOABLE.includes(one.tool));
  return html`<li class="turn">
    ${turn.text ? html`<p class="mine">${turn.text}</p>` : html`<p class="quiet">An answer that came after the page was loaded again:</p>`}
    ${turn.isBefore && !answer && !act.error && html`<p class="quiet">The page was loaded again while this ran. The host goes on with it; its answer
      comes below, at most a minute late. What it asks is under <${Link} to="/approvals">Approvals<//>.</p>`}
    <${ActView} act=${act} />
    ${!act.isOver && !turn.isBefore && act.steps.length === 0 && html`<p class="quiet">One moment.</p>`}
    ${!answer && act.text && html`<p class="answer">${prose(act.text)}</p>`}
    ${answer && html`<div class=${answer.error ? "answer refused" : "answer"}>
      <p>${prose(answer.text)}</p>
      ${answer.next && html`<p class="next">next: ${prose(answer.next)}</p>`}
      ${answer.evidence.map((/** @type {any} */ one) => html`<${Evidence} evidence=${one} />`)}
      ${changed && isNewest && may("act") && undoing === null && html`<p><button onClick=${() => undo("POST", "/v1/undo", {})}>Undo</button></p>`}
      <${ActView} act=${undoing} />
    </div>`}
  </li>`;
}
