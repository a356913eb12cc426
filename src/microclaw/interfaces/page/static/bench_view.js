// The bench of a board: its drawing alive, with hands, sound and recording; beside it programs and proof, below it time.

import { part } from "./api.js";
import { SOURCES } from "./bench.js";
import { BoardHands } from "./bench_hands.js";
import { useRecording } from "./bench_record.js";
import { useSound } from "./bench_sound.js";
import { benches } from "./bench_state.js";
import { ProgramState } from "./home.js";
import { Link, Problem, boardPath, prose, useAgain, useFetched, useMedia, useTick } from "./parts.js";
import { Expected, ProgramActs, useChanges } from "./program.js";
import { momentText, pins as livePins } from "./pins.js";
import { NARROW, useStage } from "./stage.js";
import { may, state } from "./state.js";
import { LivePins, everyFrame } from "./timeline.js";
import { WiringCard } from "./wiring_files.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/htm-preact.module.js";

/** @typedef {import("./bench_state.js").BoardBench} BoardBench */
/** @typedef {(id: string, values: Record<string, number>) => void} SetValues */

/** @typedef {{part: import("./bench.js").WiredPart, was: string | null, look: string, padClass: (gpio: number) => string, onPin: (gpio: number) => void}} Choice */

const NEW = { state: {}, source: "counted" }; // a part that is not wired yet: it is drawn plainly, and nothing is lit
const LINE_MS = 1_000;
const MOVED_COUNT = 4; // parts and pins on a card
const CHOOSE_AGAIN_MS = 10_000;

/** What is known of a board's parts while the view is shown; the view is drawn again if other parts are wired. @param {string} device */
export function useBench(device) {
  const [, reader] = useAgain();
  useEffect(() => {
    benches.readers.add(reader);
    const unwatch = benches.watch([device]);
    benches.ask(device);
    return () => {
      benches.readers.delete(reader);
      unwatch();
    };
  }, [device]);
  return benches.of(device);
}

/**
 * The drawing, alive. `ids`: only these parts; `onShow` is called with what is drawn, 20 times a second. `choice`: a part that
 * is not wired so yet, in the place of `was`, and the pins that one can choose for it; `look` changes with these.
 * @param {{known: BoardBench, board: any, label: string, isStrip: boolean, ids?: string[] | null, choice?: Choice | null, hands?: BoardHands | null, onShow?: (states: Record<string, import("./bench.js").PartState>) => void}} given
 */
export function LiveBench({ known, board, label, isStrip, ids = null, choice = null, hands = null, onShow }) {
  const show = useRef(onShow);
  show.current = onShow;
  const parts = known.parts().filter((one) => (ids === null || ids.includes(one.id)) && one.id !== choice?.was);
  if (choice) parts.push(choice.part);
  const look = [known.answer?.wiring, parts.map((one) => [one.id, one.title]), isStrip, hands !== null, board?.name, choice?.look].join(" ");
  /** @type {SetValues | null} */
  const setValues = hands && ((id, values) => hands.set(id, values, isQuantity(parts.find((one) => one.id === id), values)));
  const options = { board, parts, label, hands: setValues, isStrip, isMarked: !known.answer?.virtual, padClass: choice && choice.padClass,
    onPad: choice && ((/** @type {SVGElement} */ pad, /** @type {number} */ gpio) => pad.addEventListener("click", () => choice.onPin(gpio))) };
  const [stage, drawing] = useStage(known.answer === null || !board ? null : options, [look, known]);
  useLayoutEffect(() => {
    if (drawing === null) return undefined;
    const draw = () => {
      if (document.hidden) {
        show.current?.({}); // a buzzer that nobody sees is silent
        return;
      }
      const { states, levels } = known.shown(known.unreadText());
      hands?.putOver(states, known.nowMs);
      if (choice && known.answer?.virtual) states[choice.part.id] = NEW;
      drawing.update(states, levels);
      show.current?.(states);
    };
    return everyFrame(draw);
  }, [drawing, known]);
  return html`<${Problem} error=${known.error} />${stage}`;
}

/** Whether a newer move makes this one superfluous: a quantity has a unit; presses and detents have none, and all of them count. @param {import("./bench.js").WiredPart | undefined} wired @param {Record<string, number>} values */
function isQuantity(wired, values) {
  return Object.keys(values).every((name) => wired?.values[name]?.unit);
}

/** @param {{device: any, apps: any[]}} given */
export function BenchView({ device, apps }) {
  const known = useBench(device.name);
  const isNarrow = useMedia(NARROW);
  const [board, error] = useFetched(`/v1/devices/${part(device.name)}`);
  const [refusal, setRefusal] = useState(/** @type {any} */ (null));
  const hands = useRef(/** @type {BoardHands | null} */ (null));
  const [sound, play] = useSound();
  const [record, recorded] = useRecording(device.name, apps);
  const mayMove = known.answer?.hands && may("act");
  if (mayMove && hands.current?.device !== device.name) hands.current = new BoardHands(device.name, setRefusal);
  const parts = known.parts();
  const hasTone = parts.some((one) => "tone" in one.values);
  const nameOf = (/** @type {number} */ pin) => parts.filter((one) => one.part && one.pins.some(({ gpio }) => gpio === pin)).map((one) => one.label || one.id).join(", ");
  const used = new Map(apps.flatMap((app) => app.pins.map((/** @type {number} */ pin) => [pin, app.name])));
  return html`<div class="benchview">
    <section class="mat" aria-label="Bench">
      <${StateLine} known=${known} isNarrow=${isNarrow} mayMove=${mayMove}>
        ${hasTone && sound}${mayMove && record}<//>
      <${Problem} error=${refusal ?? error} />
      ${may("act") && parts.filter((one) => one.attributes.isInput).map(({ id }) => html`<p class="line" key=${id}><span>${id.replace("p", "P")} is an input, and this host knows no part there.${" "}
        <${Link} to=${boardPath(device.name, "add")}>Wire one<//></span></p>`)}
      <${LiveBench} known=${known} board=${board} label=${`the bench of ${device.name}`} isStrip=${isNarrow} hands=${mayMove ? hands.current : null}
        onShow=${(/** @type {any} */ states) => play(toneOf(states))} />
    </section>
    <aside class="panel">${recorded}${apps.length === 0 ? html`<section class="card"><p class="quiet">No program is on ${device.name}. Ask for one: <${Link} to="/chat">chat<//>.</p></section>`
      : apps.map((app) => html`<${ProgramCard} key=${app.name} device=${device.name} app=${app} />`)}
      <${WiringCard} device=${device.name} version=${known.answer?.wiring} /></aside>
    <section class="card time" aria-label="Timeline"><h2>Timeline</h2>
      ${device.capabilities.includes("edges.read") ? html`<${LivePins} device=${device.name} nameOf=${nameOf} used=${used} />`
        : html`<p class="quiet">This board counts no edges: its firmware takes orders and does not report its pins.</p>`}</section>
  </div>`;
}

/** The frequency that a buzzer has now, 0 if none sounds. @param {Record<string, import("./bench.js").PartState>} states */
function toneOf(states) {
  const tones = Object.values(states).map(({ state, source }) => (source === "counted" ? state.tone ?? 0 : 0));
  return Math.max(0, ...tones);
}

/** What one sees here, and what one can do. @param {{known: BoardBench, isNarrow: boolean, mayMove: boolean, children?: any}} given */
function StateLine({ known, isNarrow, mayMove, children }) {
  useTick(LINE_MS);
  if (known.answer === null) return html`<p class="line">One moment.</p>`;
  const unread = known.unreadText();
  if (unread) {
    const since = known.readAt === 0 ? "Not read" : `Not read since ${momentText(known.readAt)}`;
    return html`<p class="line warn" role="status"><span><b>${since}</b>: ${prose(unread)}. The drawing shows the wiring, not the state. It is read again by itself.</span></p>`;
  }
  const { virtual, hands, no_hands: noHands } = known.answer;
  if (!virtual) {
    return html`<p class="line"><span><b>A real board:</b> press its buttons with your own hand.</span>
      ${[["counted", "by the board"], ["ordered", "nobody saw it"], ["trial", "of the program"], ["not read", ""]].map(([source = "", meaning]) =>
        html`<span key=${source}><span class=${`state ${SOURCES[source]?.[0]}`}>${SOURCES[source]?.[1]}</span> ${meaning}</span>`)}</p>`;
  }
  const how = isNarrow ? "Press, turn, slide." : "Press, turn and slide: mouse, finger, or Tab with Space and the arrows.";
  const why = hands ? "Your role may look at the parts, and not move them." : prose(noHands);
  return html`<div class="line"><span>${mayMove ? how : why}</span><span class="buttons">${children}</span></div>`;
}

/** @param {{device: string, app: any}} given */
function ProgramCard({ device, app }) {
  const [shown] = useFetched(may("ask") ? `/v1/devices/${part(device)}/apps/${part(app.name)}` : "/v1/me", [state.changed]);
  const [changes] = useChanges(device, app.name);
  const expected = shown?.proof?.expected ?? [];
  const met = expected.filter((/** @type {any} */ one) => !/^(not met|untried)/.test(one.answer)).length;
  return html`<section class="card" aria-label=${`program ${app.name}`}>
    <div class="cardhead"><h2><${Link} to=${boardPath(device, "programs", app.name)}>${app.name}<//></h2><${ProgramState} app=${app} /></div>
    <${ProgramActs} device=${device} apps=${[app]} changes=${changes}>
      ${shown?.source && html`<${Link} class="button" to=${`/editor/${part(device)}/${part(app.name)}`}>Edit<//>`}<//>
    ${expected.length > 0 && html`<div class="cardhead"><h3>Proof</h3><span class="quiet">${met} of ${expected.length} met when it was installed</span></div><${Expected} expected=${expected} />`}
  </section>`;
}

/** What a card shows of a board: the parts and pins that moved last, as a strip; `children` if there are none. @param {{device: any, children?: any}} given */
export function MovedParts({ device, children }) {
  const known = useBench(device.name);
  useTick(CHOOSE_AGAIN_MS);
  const edges = livePins.of(device.name);
  const moved = (/** @type {import("./bench.js").WiredPart} */ one) => Math.max(known.movedAt.get(one.id) ?? -Infinity, ...one.pins.map(({ gpio }) => edges.movedAt(gpio)));
  const parts = known.parts().filter((one) => !one.soldered || moved(one) > -Infinity);
  if (parts.length === 0) return children;
  const ids = [...parts].sort((a, b) => moved(b) - moved(a)).slice(0, MOVED_COUNT).map((one) => one.id);
  const pins = parts.flatMap((one) => one.pins).map((pin) => ({ pin: pin.gpio }));
  const board = { name: device.name, chip: device.chip, pins, layout: null };
  return html`<div class="mat small"><${LiveBench} known=${known} board=${board} label=${`parts of ${device.name} that moved last`} isStrip=${true} ids=${ids} /></div>
    ${parts.length > ids.length && html`<p class="quiet"><${Link} to=${boardPath(device.name)}>and ${parts.length - ids.length} more<//></p>`}`;
}
