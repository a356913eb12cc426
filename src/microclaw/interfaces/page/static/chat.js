// The chat: a sentence, the answer with its evidence, the steps that led to it, questions; cancel and undo. Home has its field.

import { Act, ActView, Question, Screens, run } from "./acts.js";
import { HostAway, part } from "./api.js";
import { draftKey, useDraft } from "./drafts.js";
import { useOrders, useReloaded } from "./lists.js";
import { Choice, Evidence, Heading, Link, Problem, go, onSent, onText, prose } from "./parts.js";
import { may, presenceOf, state } from "./state.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";

const FIRST = "page";
const [SHOWN_MS, HIDDEN_MS] = [10_000, 3_600_000]; // between two looks at what the host has of a conversation, besides those that it tells

const QUESTIONS = ["ambiguous", "confirm", "confirm_reading"];
const SHORT = /^\W*(yes|no|y|n|\d+)\W*$/i; // an answer to a question, and no sentence

/** @typedef {{key: string, number: number, text: string, answer?: any, steps?: any[], act?: Act, waits?: boolean}} Turn `number`, `answer`, `steps`: the host's; `act`: of this page, as it goes on; `waits`: the host works on it */
/** @typedef {{text: string, say: string}} Choice */
/** @typedef {{text: string, act: Act, since: number, body: any}} Own What was said on this page, when `since` was the newest turn. */

/** What the host has of a conversation, with the acts of this page, in the order of the host's numbers. @param {any} kept @param {Own[]} own @returns {Turn[]} */
function turnsOf(kept, own) {
  /** @type {Turn[]} */
  const turns = [];
  for (const { content, turn, answer } of kept.messages) {
    const last = turns.at(-1);
    if (answer && last && !last.answer) Object.assign(last, { answer, steps: answer.steps });
    else turns.push({ key: `${turns.length}`, number: turn ?? 0, text: answer ? "" : content, answer, steps: answer?.steps });
  }
  for (const { turn, text, steps } of kept.waiting) turns.push({ key: `waits ${turn}`, number: turn, text, steps, waits: true });
  for (const [i, { text, act, since }] of own.entries()) {
    const same = turns.find((turn) => (act.turn ? turn.number === act.turn : isLost(act) && turn.number > since && turn.text === text));
    if (same) {
      const isCut = same.waits && act.isOver; // of a host that was stopped, the next one goes on with it
      Object.assign(same, { key: `own ${i}`, act, waits: isCut, steps: same.answer || isCut ? same.steps : act.steps });
    }
    else {
      const number = act.turn || act.after || (act.isOver ? since : Infinity);
      const later = turns.findIndex((turn) => turn.number > number);
      turns.splice(later < 0 ? turns.length : later, 0, { key: `own ${i}`, number, text, act });
    }
  }
  return turns;
}

/** Whether nobody knows if the host took the message. @param {Act} act */
function isLost(act) {
  return act.error instanceof HostAway && !act.turn && !act.after;
}

/** Whether an answer asks the person. @param {any} answer */
function isQuestion(answer) {
  return answer?.choices?.length > 0 || QUESTIONS.includes(answer?.error);
}

/** Whether a turn answers the one before by a button: it alone does not say what was wanted. @param {Turn | undefined} before @param {Turn | undefined} turn */
function isChoiceOf(before, turn) {
  return Boolean((before?.answer ?? before?.act?.answer)?.choices?.some((/** @type {Choice} */ { say }) => say === turn?.text));
}

/** Sentences that these boards can do, and this person may. @param {any[]} devices */
function examples(devices) {
  const board = devices.find((one) => presenceOf(one.name).isOnline) ?? devices[0];
  if (board === undefined) return ["what can you do?"];
  const on = devices.length > 1 ? ` on ${board.name}` : "";
  const questions = [`what is the temperature${on}?`, "what is running?"];
  return may("act") ? [`blink the led${on} twice a second`, ...questions] : questions;
}

/** The conversations of this person, in each browser; one of them is shown, on Home its field alone. @param {{name: string, isShown: boolean, isHome: boolean}} given */
export function Chat({ name, isShown, isHome }) {
  const [list, error, reload] = useReloaded("/v1/chat", isShown ? SHOWN_MS : HIDDEN_MS);
  const first = useRef("");
  if (list && !first.current) first.current = list.chats[0]?.chat_id ?? FIRST;
  const chat = name || first.current;
  const heading = html`<${Heading} key=${isHome ? "home" : "chat"}>${isHome ? "What should a board do?" : "Chat"}<//>`;
  if (!chat) return html`${heading}<${Problem} error=${error} /><p class="quiet">One moment.</p>`;
  return html`${heading}${!isHome && html`<nav class="conversations" aria-label="Conversations">
      ${list?.chats.map((/** @type {any} */ one) => html`<${Link} key=${one.chat_id} to=${`/chat/${part(one.chat_id)}`}
        current=${one.chat_id === chat}>${one.text || one.chat_id}<//>`)}
      <button onClick=${() => go(`/chat/${FIRST}-${Date.now().toString(36)}`)}>New conversation</button>
    </nav>`}
    <${Conversation} key=${chat} chat=${chat} isShown=${isShown} isHome=${isHome} changed=${reload} />`;
}

/** @param {{chat: string, isShown: boolean, isHome: boolean, changed: () => void}} given */
function Conversation({ chat, isShown, isHome, changed }) {
  const [own, setOwn] = useState(/** @type {Own[]} */ ([]));
  const [kept, away, reload] = useReloaded(`/v1/chat/${part(chat)}/messages`, isShown ? SHOWN_MS : HIDDEN_MS, state.said);
  const [late, setLate] = useState(/** @type {any} */ (null)); // why an answer did not count
  const [typed, setText] = useDraft(draftKey(["chat", chat]), "sessionStorage");
  const text = typed ?? "";
  const [device, setDevice] = useState("");
  const orders = useOrders();
  const end = useRef(/** @type {HTMLElement | null} */ (null));
  const turns = turnsOf(kept ?? { messages: [], waiting: [] }, own);
  const last = turns.at(-1);
  const waits = turns.some((turn) => turn.waits);
  const isBusy = waits || turns.some(({ act, answer }) => act && !act.isOver && !answer);
  const asked = waits ? state.approvals.filter((one) => one.channel === "browser" && one.person === state.me?.name) : [];

  /** @param {Own} one */
  const deliver = (one) => run(one.act, "POST", "/v1/chat", one.body).then(() => {
    reload();
    changed();
    if (one.act.error?.code !== "already_answered") return;
    setLate(one.act.error);
    setOwn((before) => before.filter((other) => other !== one));
  });
  /** @param {Own} lost */
  const sayAgain = (lost) => {
    const again = { ...lost, act: new Act() };
    setOwn((before) => before.map((one) => (one === lost ? again : one)));
    void deliver(again);
  };
  /** @param {string} said @param {number} [answers] the turn that asked */
  const say = (said, answers) => {
    if (!said.trim()) return;
    const since = turns.filter((turn) => turn.number < Infinity).at(-1)?.number ?? 0;
    const open = [...own.flatMap((one) => one.act.questions), ...asked].filter((one) => !state.settled.has(one.approval_id));
    const body = { text: said, chat_id: chat, key: `${Date.now()}-${Math.random().toString(36).slice(2)}`, seen: open.map((one) => one.approval_id), answers, ...(device ? { device } : {}) };
    const one = { text: said, act: new Act(), since, body };
    setLate(null);
    setOwn((before) => [...before, one]);
    void deliver(one);
  };
  const sayTyped = () => {
    const isShort = SHORT.test(text) || last?.answer?.choices?.some((/** @type {Choice} */ one) => one.say === text.trim());
    say(text, isShort && isQuestion(last?.answer) ? last?.number : undefined);
    setText(null);
  };
  useEffect(() => {
    if (isShown) end.current?.scrollIntoView({ block: "end" });
  }, [isShown, turns.length, last?.act?.steps.length, last?.act?.isOver]);
  const newest = turns.filter((turn) => turn.number === last?.number); // an answer to a question has the number of what asked
  const waited = useRef(0); // the newest turn that waited while this page was open: Home shows its answer, too
  waited.current = turns.filter((turn) => turn.waits).at(-1)?.number ?? waited.current;
  const isOpen = (/** @type {Turn} */ turn) => turn.waits || (newest.includes(turn) && (turn.act || turn.number === waited.current || isQuestion(turn.answer)));
  const firstOpen = turns.findIndex(isOpen);
  let first = firstOpen;
  while (isChoiceOf(turns[first - 1], turns[first])) first -= 1;
  const shown = isHome ? turns.filter((turn, i) => isOpen(turn) || (i >= first && i < firstOpen)) : turns;
  const hints = kept && shown.length === 0 && html`<p class="buttons hints"><span class="quiet">For example</span>
    ${examples(state.devices).map((one) => html`<button key=${one} onClick=${() => setText(one)}>${one}</button>`)}</p>`;
  const said = html`<ol class="turns">${shown.map((turn) => html`<${TurnView} key=${turn.key} turn=${turn} isNewest=${newest.includes(turn)} say=${say}
      sayAgain=${() => own.filter((one) => one.act === turn.act).forEach(sayAgain)} />`)}</ol>
    ${asked.map((one) => html`<${Question} key=${one.approval_id} question=${one} />`)}`;

  return html`${!isHome && html`${hints}${said}`}
    <form class="say" onSubmit=${onSent(sayTyped)}>
      <label class="wide"><span class="hidden">Message</span>
        <textarea rows=${isHome ? 1 : 2} maxlength="20000" value=${text} placeholder="blink the led twice a second" onInput=${onText(setText)}
          onKeyDown=${(/** @type {KeyboardEvent} */ event) => {
            if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            sayTyped();
          }} /></label>
      <p class="buttons">
        ${!isHome && state.devices.length > 1 && html`<${Choice} label="Board" value=${device} onChoose=${setDevice}
          choices=${[["", "as the sentence says"], ...state.devices.map((one) => one.name)]} />`}
        <button class="main">Send</button>
        ${isBusy && html`<button type="button" onClick=${() => orders.order("POST", `/v1/chat/${part(chat)}/cancel`)}>Cancel</button>`}
      </p>
    </form>
    ${isHome && html`${hints}${said}${shown.length > 0 && html`<p><${Link} to="/chat">The whole conversation<//></p>`}`}
    <${Problem} error=${orders.error ?? late ?? away} /><div ref=${end}></div>`;
}

/** Undo reverts what was done last (after an undo: what came before that), and a choice answers what was asked last: only the newest turn offers them. @param {{turn: Turn, isNewest: boolean, say: (text: string, answers: number) => void, sayAgain: () => void}} given */
function TurnView({ turn, isNewest, say, sayAgain }) {
  const { act = null, steps } = turn;
  const answer = turn.answer ?? act?.answer; // a host that stops answers that it will
  const choices = /** @type {Choice[]} */ (answer?.choices ?? []);
  const look = isQuestion(answer) ? "asks" : answer?.error && "refused";
  const isChange = answer?.actions.some((/** @type {any} */ one) => {
    const isSchedule = one.tool === "schedule-add"; // it is no change of a board, and the host takes it back by a sentence
    return one.tool !== "undo" && one.outcome === "done" && (isSchedule || one.changes.length > 0);
  });
  return html`<li class="turn">
    ${turn.text && html`<p class="mine">${turn.text}</p>`}
    ${answer && html`<div class=${`answer ${look ?? ""}`}>
      <p>${prose(answer.text)}</p>
      ${isNewest && choices.length > 0 && html`<p class="buttons">${choices.map((one) => html`<button key=${one.say} onClick=${() => say(one.say, turn.number)}>${one.text}</button>`)}</p>`}
      ${answer.next && !(choices.length > 0 && QUESTIONS.includes(answer.error)) && html`<p class="next">next: ${prose(answer.next)}</p>`}
      ${answer.evidence.map((/** @type {any} */ one) => html`<${Evidence} evidence=${one} said=${answer.text} />`)}
      <${Screens} screens=${answer.screens} />
      ${isChange && isNewest && may("act") && html`<p><button onClick=${() => say("undo", turn.number)}>Undo</button></p>`}
    </div>`}
    <${ActView} act=${act} steps=${steps} isFolded=${Boolean(answer || (act && turn.waits))} />
    ${act && isLost(act) && !answer && !turn.waits && html`<p class="buttons"><button onClick=${sayAgain}>Send again</button> It is not known whether the host took it. Sent again, it is done once.</p>`}
    ${(turn.waits || (act && !act.isOver && act.steps.length === 0)) && html`<p class="quiet">One moment.</p>`}
    ${act && !answer && act.text && html`<p class="answer">${prose(act.text)}</p>`}
  </li>`;
}
