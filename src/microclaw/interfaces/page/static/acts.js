// An act of the host as it goes on: its steps, questions and end, from a stream of JSON lines. Used by chat and programs.

import { HostAway, hostError, lines, part, send } from "./api.js";
import { AskedProgram } from "./asked.js";
import { Badge, Evidence, Link, Problem, prose, useAttempt } from "./parts.js";
import { boardsSoon, settle, state, update } from "./state.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.module.js";

export class Act {
  steps = /** @type {any[]} */ ([]);
  questions = /** @type {any[]} */ ([]);
  text = "";
  result = /** @type {any} */ (null);
  answer = /** @type {any} */ (null);
  error = /** @type {any} */ (null);
  isOver = false;
  turn = 0; // the number that the host gave it, in a chat
  after = 0; // the turn before it, if it was answered without one of its own
  /** Does it again on a full board, in the place of a program that is stopped, and started again if it fails. @type {((program: string) => Promise<void>) | null} */
  replace = null;

  /** @param {api.Line} line */
  take(line) {
    if (line.type === "step") this.step(line);
    else if (line.type === "delta") this.text += line.text;
    else if (line.type === "approval") this.questions.push(line);
    else if (line.type === "approval_settled") settle(line.approval_id, { outcome: line.outcome, by: line.by });
    else if (line.type === "result") this.result = line.result;
    else if (line.type === "answer") this.answer = line;
    else if (line.type === "error") this.fail(line.error);
    else if (line.type === "turn") this.turn = line.number;
    else if (line.type === "after") this.after = line.number;
  }

  /** The end says the fault whole, so the stage that failed only says that it did. @param {any} error */
  fail(error) {
    this.error = error;
    const last = this.steps.at(-1);
    if (last?.state === "failed") this.steps.splice(-1, 1, { stage: last.stage, state: last.state, text: "" });
  }

  /** A stage that went on is one line with its end. @param {api.Line} step */
  step(step) {
    const before = this.steps.at(-1);
    if (before?.state === "running" && before.stage === step.stage) this.steps.pop();
    this.steps.push(step);
  }
}

/** Does it, and draws the page with each line; never raises for what the host says. @param {Act} act @param {string} method @param {string} path @param {unknown} [body] */
export async function run(act, method, path, body) {
  try {
    for await (const line of lines(method, path, body)) {
      act.take(line);
      update();
    }
  } catch (error) {
    const cut = { message: "the host went away before this was done", next: "it comes back: look then at what was changed" };
    act.error = hostError(error) instanceof HostAway && act.steps.length > 0 ? cut : error;
  }
  act.isOver = true;
  update();
  boardsSoon(); // a change of a pin is told by no event
}

/** An act that this component begins; the promise is of its end. @returns {[Act | null, (method: string, path: string, body?: unknown) => Promise<Act>]} */
export function useAct() {
  const [act, setAct] = useState(/** @type {Act | null} */ (null));
  /** @param {string} method @param {string} path @param {unknown} [body] */
  const begin = async (method, path, body) => {
    const begun = actOf(method, path, body);
    await run(begun, method, path, body);
    return begun;
  };
  /** @param {string} method @param {string} path @param {unknown} body */
  const actOf = (method, path, body) => {
    const begun = new Act();
    begun.replace = async (program) => {
      const again = actOf(method, path, body);
      await run(again, "POST", `${program}/stop`);
      if (again.error) return;
      again.isOver = false;
      again.result = null;
      await run(again, method, path, body);
      // Of a lost answer nobody knows: the host may be installing it.
      if (again.error && !(again.error instanceof HostAway)) await run(new Act(), "POST", `${program}/start`);
    };
    setAct(begun);
    return begun;
  };
  return [act, begin];
}

/** Where somebody asked, in words. @type {Record<string, string>} */
const DOORS = { browser: "in the browser", terminal: "in the terminal", tg: "in Telegram" };
const MAX_NAMED = 48;
/** @type {Record<string, string>} */
const MARKS = { running: "…", done: "✓", failed: "✗" };

/** What the displays of a trial showed last. @param {{screens?: any[]}} given */
export function Screens({ screens = [] }) {
  return screens.map((one) => html`<figure class="screen" key=${one.part}>
    <img src=${`data:image/png;base64,${one.png}`} alt=${one.text || `what ${one.part} showed`} />
    <figcaption class="quiet">${one.part}: the last of ${one.count} ${one.count === 1 ? "picture" : "pictures"} in the trial</figcaption></figure>`);
}

/** @param {{step: any}} given */
function StepLine({ step }) {
  const isOpen = step.state === "failed";
  const mark = MARKS[step.state] ?? "";
  const head = html`<span class="mark" role="img" aria-label=${step.state}>${mark}</span>${" "}
    <span class="stage">${step.stage}</span> <span class="said">${prose(step.text)}</span>`;
  const detail = step.detail ?? [];
  return html`<li class=${`step ${step.state}`}>
    ${detail.length > 0
      ? html`<details open=${isOpen}><summary>${head}</summary><pre>${detail.join("\n")}</pre></details>`
      : head}
    <${Screens} screens=${step.screens} />
    ${step.next && html`<p class="next">next: ${prose(step.next)}</p>`}
  </li>`;
}

/**
 * A question that waits for a yes: what would happen, exactly, and how it ended. `isCut`: nobody tells its end to this page any more.
 * @param {{question: any, isCut?: boolean}} given
 */
export function Question({ question, isCut = false }) {
  const { isBusy, error, attempt } = useAttempt();
  const id = question.approval_id;
  const end = state.settled.get(id);
  const waits = state.approvals.some((one) => one.approval_id === id);
  const isGone = !end && (error?.status === 404 || (isCut && !waits && state.live !== "away"));
  const after = useRef(/** @type {HTMLElement | null} */ (null));
  const isMine = useRef(false);
  useEffect(() => { // the button that had the focus is gone
    if (isMine.current && (end || isGone)) after.current?.focus();
  }, [end, isGone]);

  /** @param {boolean} approved */
  const decide = (approved) => attempt(async () => {
    isMine.current = true;
    const told = await send("POST", `/v1/approvals/${part(id)}`, { approved, wait_s: 0 });
    settle(id, { outcome: told.outcome, by: state.me?.name ?? null });
  });

  const detail = html`<pre class="detail" tabindex="0">${question.detail.join("\n")}</pre>`;
  return html`<section class="question" aria-label=${`waits for a yes: ${question.text ?? question.action}`}>
    <h2>${question.text ?? question.action}</h2>
    ${question.person && html`<p class="quiet">asked by ${question.person}, ${DOORS[question.channel] ?? `over ${question.channel}`}</p>`}
    ${!end && !isGone && html`<${AskedProgram} id=${id} />`}
    ${end || isGone ? html`<details><summary class="quiet">What was asked</summary>${detail}</details>` : detail}
    ${end
      ? html`<p class="settled" tabindex="-1" ref=${after}><${Badge} state=${end.outcome} /> ${whyEnded(end)}</p>`
      : isGone ? html`<p class="settled" tabindex="-1" ref=${after}>Nothing waits under this question any more: the host was stopped
            meanwhile, its time is over, or it was decided elsewhere. What waits now: <${Link} to="/activity">Activity (${state.approvals.length})<//></p>`
      : !mayDecide(question)
        ? html`<p class="quiet">Somebody else has to decide this: it is risky, or it is not yours.</p>`
        : html`<p class="buttons">
            <button type="button" class="main" disabled=${isBusy} onClick=${() => decide(true)}>${named(question.text ?? question.action)}</button>
            <button type="button" disabled=${isBusy} onClick=${() => decide(false)}>No</button>
          </p>`}
    ${!end && !isGone && html`<${Problem} error=${error} />`}
  </section>`;
}

/** Who or what ended a question. @param {{outcome: string, by: string | null}} end */
export function whyEnded({ outcome, by }) {
  if (outcome === "withdrawn") return by ? `${by === state.me?.name ? "you" : by} said something else` : "who asked has left";
  return by ? `by ${by}` : "nobody decided in time";
}

/** `isFolded`: its end is said already, so the steps that led to it are opened by who wants them. @param {{steps: any[], isFolded: boolean}} given */
export function Steps({ steps, isFolded }) {
  if (steps.length === 0) return null;
  const list = html`<ol class="steps">${steps.map((step) => html`<${StepLine} step=${step} />`)}</ol>`;
  return isFolded ? html`<details><summary class="quiet">How: ${steps.length} ${steps.length === 1 ? "step" : "steps"}</summary>${list}</details>` : list;
}

/** @param {{act: Act | null, steps?: any[], isFolded?: boolean, device?: string}} given `steps`: as the host keeps them; `device`: where it puts a program */
export function ActView({ act, steps = act?.steps ?? [], isFolded = false, device }) {
  const list = html`<${Steps} steps=${steps} isFolded=${isFolded} />`;
  if (act === null) return list;
  return html`<div class="act" aria-live="polite" aria-busy=${!act.isOver}>
    ${list}
    ${act.questions.map((question) => html`<${Question} key=${question.approval_id} question=${question} isCut=${act.isOver} />`)}
    ${act.result?.text && html`<p>${prose(act.result.text)}</p>`}<${Evidence} evidence=${act.result?.evidence} />
    ${!isFolded && html`<${ActProblem} act=${act} device=${device} />`}
  </div>`;
}

/** What went wrong; on a full board the programs that the act may replace, as the chat asks for them. @param {{act: Act, device?: string}} given */
function ActProblem({ act, device }) {
  const names = act.replace && act.error?.replaceable;
  if (!device || !names?.length) return html`<${Problem} error=${act.error} />`;
  return html`<${Problem} error=${{ message: act.error.message }} /><p class="buttons">${names.map((/** @type {string} */ name) => html`<button key=${name}
    onClick=${() => act.replace?.(`/v1/devices/${part(device)}/apps/${part(name)}`)}>Replace ${name}</button>`)}</p>`;
}

/** The act as the words of a button. @param {string} text */
function named(text) {
  const stops = /^pin \d+ is driven by \S+ on \S+, so (\S+) is stopped first: (.+)$/.exec(text);
  const first = stops ? `stop ${stops[1]} and ${stops[2]}` : (text.split(/[;:,]/, 1)[0] ?? "");
  const isReason = !stops && /^(pin|it) /.test(first);
  return first.length <= MAX_NAMED && !isReason ? first.charAt(0).toUpperCase() + first.slice(1) : "Yes, do it";
}

/** Whether this page's person may decide a question; one that comes with an act says it. @param {any} approval */
function mayDecide(approval) {
  const me = state.me;
  if (approval.may_decide !== undefined) return approval.may_decide;
  if (me?.role === "owner") return true;
  return me?.role === "member" && approval.person === me.name && !approval.risky;
}
