// The editor: a program in C or Python, checked while it is written, tried on a virtual board, installed, reverted.

import { ActView, useAct } from "./acts.js";
import { HostAway, hostError, part, send } from "./api.js";
import { Code, EXPECTATIONS, marksOf, placed } from "./code.js";
import { draftKey, installedDraft, keepDraft, keptDraft, useDraft } from "./drafts.js";
import { DraftState } from "./lists.js";
import { Logs } from "./logs.js";
import { Badge, Choice, Heading, Link, Problem, boardPath, onText, prose, useAgain, useLoaded } from "./parts.js";
import { may, state } from "./state.js";
import { BenchStage, Player, clockText } from "./player.js";
import { LivePins, TrialWords } from "./timeline.js";
import { html, useEffect, useMemo, useRef, useState } from "./vendor/htm-preact.module.js";

/** @typedef {import("./code.js").Finding} Finding */
/** @typedef {import("./drafts.js").Draft} Draft */

const CHECK_AFTER_MS = 400;
const AGAIN_MS = 3_000; // the host had no room
const LABEL = "Program. Tab indents; to leave with the keyboard, press Escape, then Tab.";
const NO_FINDINGS = { inProgram: [], inExpectations: [] };
const LANGUAGES = [["c", "C"], ["c++", "C++"], ["sketch", "Arduino sketch"], ["python", "Python"], ["", "as the source says"]];
const C = `#include "microclaw.h"

static int led;

static void tick(void) {
    gpio_toggle(led);
}

void on_init(void) {
    led = gpio_open(2, GPIO_OUT);
    every(500, tick);
}
`;
const PYTHON = `from machine import Pin
from time import sleep_ms

led = Pin(2, Pin.OUT)
while True:
    led.toggle()
    sleep_ms(500)
`;
/** @type {Record<string, string>} */
const BEGINNINGS = { c: C, "c++": C, python: PYTHON, sketch: "void setup() {\n    pinMode(2, OUTPUT);\n}\n\nvoid loop() {\n    digitalWrite(2, HIGH);\n    delay(500);\n    digitalWrite(2, LOW);\n    delay(500);\n}\n" };

/** The view at /editor, and at /editor/BOARD/PROGRAM for one that is installed. @param {{rest: string[]}} given */
export function Editor({ rest }) {
  const [device, name] = rest;
  const key = draftKey(["program", ...rest]);
  const [round, begin] = useAgain();
  const isReady = state.status !== null;
  const [opened, error] = useLoaded(async (signal) => {
    const blink = { source: C, language: "c", name: "blink", device: state.devices[0]?.name ?? "", expect: "", wiring: "" };
    const kept = keptDraft(key);
    if (kept !== null || !isReady) return { draft: kept, round };
    return { draft: device && name ? await installedDraft(device, name, signal) : blink, round };
  }, [isReady, round]);
  const again = () => {
    keepDraft(key, null);
    begin();
  };
  return html`<${Heading}>Editor<//>${device && name && html`<p class="crumbs"><${Link} to=${boardPath(device, "programs", name)}>${name} on ${device}<//></p>`}
    <${Problem} error=${error} />
    ${opened?.draft ? html`<${Desk} key=${opened.round} first=${opened.draft} place=${key} again=${again} />` : !error && html`<p class="quiet">One moment.</p>`}`;
}

/** @param {{first: Draft, place: string, again: () => void}} given */
function Desk({ first, place, again }) {
  const [written, keep, isKept] = useDraft(place);
  const draft = /** @type {Draft} */ (written ?? first);
  const newest = useRef(draft);
  const [text, setText] = useState(0); // counts texts that were put in, and not typed
  const [chosen, setChosen] = useState(/** @type {import("./code.js").Place | null} */ (null));
  const [checked, problem, isNew] = useCheck(draft);
  const [trial, tryIt] = useAct();
  const [seek, setSeek] = useState(/** @type {{ms: number} | null} */ (null));
  const boards = state.devices.map((one) => one.name);
  const isHere = boards.includes(draft.device);
  /** @param {Partial<Draft>} news */
  const change = (news) => {
    newest.current = { ...newest.current, ...news };
    keep(newest.current);
  };
  /** @param {string} language */
  const speak = (language) => {
    const isUntouched = Object.values(BEGINNINGS).includes(draft.source);
    change({ language, ...(isUntouched && language ? { source: BEGINNINGS[language] ?? C } : {}) });
    if (isUntouched) setText((count) => count + 1);
  };
  const files = marksOf(draft.source).filter((mark, i, all) => all.findIndex(({ file }) => file === mark.file) === i);
  const inExpectations = chosen?.file === EXPECTATIONS;
  const found = checked?.marks ?? NO_FINDINGS;
  const isPython = draft.language === "python" || (draft.language === "" && checked?.kind === "py");
  return html`<div class="desk"><div><p class="buttons">
      <${Choice} label="Board" value=${isHere ? draft.device : ""} choices=${[...boards, ["", "none: check and try alone"]]}
        onChoose=${(/** @type {string} */ device) => change({ device })} />
      <${Choice} label="Language" value=${draft.language} choices=${LANGUAGES} onChoose=${speak} />
      <label>Name <input value=${draft.name} maxlength="63" spellcheck=${false} autocapitalize="off" onInput=${onText((name) => change({ name }))} /></label>
    </p>
    ${files.length > 0 && html`<p class="buttons" role="group" aria-label="Files">${files.map(({ file, at }) => html`<button key=${file} onClick=${() => setChosen({ at })}>${file}</button>`)}</p>`}
    <${Code} key=${text} label=${LABEL} kind=${isPython ? "python" : "c"} first=${draft.source} findings=${found.inProgram} chosen=${inExpectations ? null : chosen}
      onText=${(/** @type {string} */ source) => change({ source })} />
    <p class="quiet">Tab indents; Escape, then Tab leaves the text. <${DraftState} isKept=${isKept} until="installed" discard=${again} /></p>
    <${Findings} checked=${checked} problem=${problem} isNew=${isNew} choose=${(/** @type {Finding} */ one) => setChosen({ ...one })} />
    <p>Expected, one a line, or nothing; as <code>pin 2: period 1 s +- 5 %</code> (a period is the whole time from on to on again)</p>
    <${Code} label="Expected, one a line, or nothing" kind="expectations" first=${draft.expect} findings=${found.inExpectations} chosen=${inExpectations ? chosen : null}
      onText=${(/** @type {string} */ expect) => change({ expect })} />
    <${Answers} result=${trial?.result} onSeek=${(/** @type {number} */ ms) => setSeek({ ms })} />
    <${WiringText} draft=${draft} change=${change} problem=${checked?.bench?.message ? checked.bench : null} /></div>
    <div><${Acts} draft=${isHere ? draft : { ...draft, device: "" }} place=${place} trial=${trial} tryIt=${tryIt} drawn=${checked?.bench} seek=${seek} /></div></div>`;
}

/** The answers of a trial to the expectations. @param {{result: any, onSeek: (ms: number) => void}} given */
function Answers({ result, onSeek }) {
  return html`${result && result.expected.length > 0 && html`<ul class="rows answers" aria-label="answers of the trial">${result.expected.map((/** @type {any} */ one) => {
      const ms = result.play.moments[one.line];
      return html`<li key=${one.line}><${Badge} state=${one.trial} /> ${one.text} <span class="quiet">${one.found}</span>${" "}
        ${ms !== undefined && html`<button class="show" aria-label=${`Show ${one.text} at ${clockText(ms)}`} onClick=${() => onSeek(ms)}>show</button>`}</li>`;
    })}</ul>`}`;
}

/** The text of a wiring of its own. @param {{draft: Draft, change: (news: Partial<Draft>) => void, problem: any}} given */
function WiringText({ draft, change, problem }) {
  const usual = draft.device ? `the wiring of ${draft.device}` : "only what the program itself names";
  return html`<details class="wiring" open=${draft.wiring !== ""}><summary>Wiring: ${draft.wiring ? "its own" : usual}</summary>
    <label class="wide">A wiring.toml or Wokwi diagram.json; empty: ${usual}
      <textarea rows="4" maxlength="65536" spellcheck=${false} value=${draft.wiring} onInput=${onText((wiring) => change({ wiring }))} /></label>
    <label class="wide">or a file <input type="file" accept=".toml,.json"
      onChange=${async (/** @type {any} */ e) => change({ wiring: (await e.currentTarget.files[0]?.text()) ?? draft.wiring })} /></label></details>
    <${Problem} error=${problem} />`;
}

/** What the host reads of a draft. @param {Draft} draft */
function programOf({ source, language, device, wiring, expect }) {
  return {
    source,
    ...(language ? { language } : {}),
    ...(device ? { device } : {}),
    ...(wiring.trim() ? { wiring } : {}),
    ...(expect.trim() ? { expect } : {}),
  };
}

/**
 * The host's check of a draft, some time after the last change; one that is superseded is ended. @param {Draft} draft
 * @returns {[any, any, boolean]} the newest answer, null before the first; what went wrong; whether both are of this very draft
 */
function useCheck(draft) {
  const [found, setFound] = useState(/** @type {{of: string, answer: any, error: any}} */ ({ of: "", answer: null, error: null }));
  const [round, again] = useState(0);
  const asked = JSON.stringify(programOf(draft));
  useEffect(() => {
    const stop = new AbortController();
    const check = async () => {
      if (draft.source.trim() === "") return setFound({ of: asked, answer: { ok: false, findings: [], message: "there is no program yet", next: "write one" }, error: null });
      try {
        const answer = await send("POST", "/v1/programs/check", { ...programOf(draft), bench: true }, stop.signal);
        const findings = placed(answer.findings, draft.source);
        const inExpectations = findings.filter((one) => one.file === EXPECTATIONS);
        const inProgram = findings.filter((one) => one.file !== EXPECTATIONS);
        setFound({ of: asked, answer: { ...answer, findings, marks: { inProgram, inExpectations } }, error: null });
      } catch (error) {
        if (stop.signal.aborted) return;
        const problem = hostError(error);
        setFound((before) => ({ of: asked, answer: before.answer, error: problem }));
        if (problem instanceof HostAway || problem.status === 503) timer = setTimeout(() => again((count) => count + 1), AGAIN_MS);
      }
    };
    let timer = setTimeout(check, CHECK_AFTER_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [asked, round]);
  return [found.answer, found.error, found.of === asked];
}

/** The findings in words. @param {{checked: any, problem: any, isNew: boolean, choose: (finding: Finding) => void}} given */
function Findings({ checked: newest, problem, isNew, choose }) {
  const checked = problem ? null : newest; // what was said of another text is not said of this one
  const count = checked?.findings.length ?? 0;
  const fault = count > 0 ? `${count} ${count === 1 ? "finding" : "findings"}` : checked?.message;
  const said = problem ? "Not checked." : !checked ? "Checking." : checked.ok ? `No fault found: ${checked.text}` : `Not right yet: ${fault}`;
  return html`<div class="checked" aria-busy=${!isNew} data-ok=${checked && isNew && !problem ? String(checked.ok) : ""}>
    <p><span role="status">${prose(said)}</span>${!isNew && (checked || problem) && html` <span class="quiet">That is of the text before your change.</span>`}</p>
    ${checked && !checked.ok && checked.findings.length === 0 && html`<p class="next">next: ${prose(checked.next)}</p>`}
    <${Problem} error=${problem} />
    <ol class="findings" aria-label="Findings">${(checked?.findings ?? []).map((/** @type {Finding} */ one) => html`<li>
      <${Badge} state=${one.severity === "error" ? "failed" : "waiting"} text=${one.severity} />${" "}
      ${one.at !== null ? html`<button onClick=${() => choose(one)}>${one.isNamed && `${one.file}, `}line ${one.line}${one.column ? `, column ${one.column}` : ""}</button>` : html`<b>${one.file}</b>`}
      ${" "}${prose(one.message)}
      ${one.explanation && html`<p>why: ${prose(one.explanation)}</p>`}${one.next && html`<p class="next">next: ${prose(one.next)}</p>`}</li>`)}</ol></div>`;
}

/** What of a draft a trial is of. @param {Draft} draft */
function textOf({ source, language, expect, wiring }) {
  return JSON.stringify([source, language, expect.trim(), wiring.trim()]);
}

/** That what stands below is of another draft. @param {{then: Draft | null, now: Draft, isOfBoard?: boolean, next: string}} given */
function Older({ then, now, isOfBoard = false, next }) {
  if (then === null) return null;
  const isOld = textOf(then) !== textOf(now);
  if (!isOld && (!isOfBoard || then.device === now.device)) return null;
  return html`<p class="warning older">This is of the ${isOld ? "text" : "board"} before your change. ${next}</p>`;
}

/**
 * Trying and installing it. `drawn`: the bench that its trial would have; `seek`: a moment of the trial to show.
 * @param {{draft: Draft, place: string, trial: import("./acts.js").Act | null, tryIt: (method: string, path: string, body: unknown) => Promise<unknown>, drawn: any, seek: {ms: number} | null}} given
 */
function Acts({ draft, place, trial, tryIt, drawn, seek }) {
  const bench = useMemo(() => drawn, [JSON.stringify(drawn)]); // the same object while its content is, so that it is not drawn again
  const triedBoard = useRef(/** @type {any} */ (null));
  const [installing, install] = useAct();
  const [undoing, undo] = useAct();
  const [tried, setTried] = useState(/** @type {Draft | null} */ (null));
  const [installed, setInstalled] = useState(/** @type {Draft | null} */ (null));
  const isBusy = [trial, installing, undoing].some((act) => act !== null && !act.isOver);
  const made = installing?.isOver ? installing.result : null;
  const counts = state.devices.find((one) => one.name === installed?.device)?.capabilities.includes("edges.read");
  const isUndone = undoing?.isOver && !undoing.error;
  const takeBack = () => {
    keepDraft(place, draft);
    void undo("POST", "/v1/undo", { change_id: made.change_id });
  };
  const attempt = () => {
    setTried(draft);
    triedBoard.current = bench?.board;
    void tryIt("POST", "/v1/programs/try", { ...programOf(draft), play: true });
  };
  const put = async () => {
    const { device, name } = draft;
    setInstalled(draft);
    const act = await install("POST", `/v1/devices/${part(device)}/apps`, { name, ...programOf({ ...draft, device: "" }) });
    const kept = keptDraft(place); // the text may have been changed meanwhile
    if (act.result && kept && textOf(kept) === textOf(draft)) keepDraft(place, null);
  };
  return html`<p class="buttons">
      <button class="main" disabled=${isBusy} onClick=${attempt}>Try</button>
      ${may("act") && html`<button disabled=${isBusy || !draft.device || !draft.name} onClick=${put}>Install${draft.device && ` on ${draft.device}`}</button>`}
      ${!may("act") && html`<span class="quiet">Your role checks and tries programs. To install them, ask an owner of this host for the role of a member.</span>`}
    </p>
    ${!trial?.result && bench && html`<${BenchStage} board=${bench.board} parts=${bench.parts} label="the bench of the program" />`}
    ${trial && html`<section aria-label="trial"><h2>Trial</h2>
      <${Older} then=${tried} now=${draft} isOfBoard=${true} next="Try it again." />
      ${trial.result && bench && html`<${Player} board=${triedBoard.current ?? bench.board} play=${trial.result.play} seek=${seek} />`}
      ${trial.result && html`<${Pressed} result=${trial.result} />`}
      <${ActView} act=${trial} />${trial.result && html`<${TrialWords} edges=${trial.result.edges} />
        ${trial.result.log.length > 0 && html`<pre class="detail" tabindex="0" aria-label="printed">${trial.result.log.join("\n")}</pre>`}`}</section>`}
    ${installing && installed && html`<section aria-label="installation"><h2>Installation</h2>
      <${Older} then=${installed} now=${draft} next="What you see now is not installed." /><${ActView} act=${installing} device=${installed.device} />
      ${made && html`<p class="buttons"><${Link} to=${boardPath(installed.device, "programs", installed.name)}>${installed.name} on ${installed.device}<//>
        <button disabled=${isBusy || isUndone} onClick=${takeBack}>Undo the installation</button></p>
        <${ActView} act=${undoing} />
        ${!isUndone && counts && html`<${LivePins} device=${installed.device} nameOf=${() => ""} used=${new Map(made.trial.pins.map((/** @type {number} */ pin) => [pin, installed.name]))} />`}
        ${!isUndone && html`<h3>Log</h3><${Logs} device=${{ name: installed.device }} app=${installed.name} />`}`}
    </section>`}`;
}

/** What the trial moved by itself, as no expectation did, with what followed; and its warnings. @param {{result: any}} given */
function Pressed({ result }) {
  return html`${result.probes.length > 0 && html`<h3>After its time, the trial pressed</h3>
      <ul class="rows" aria-label="pressed">${result.probes.map((/** @type {string} */ text) => html`<li key=${text}>${text}</li>`)}</ul>`}
    ${result.warnings.map((/** @type {string} */ text) => html`<p key=${text} class="warning">${prose(text)}</p>`)}`;
}
