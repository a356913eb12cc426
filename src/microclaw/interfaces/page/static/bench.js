// The bench: a board with its wired parts beside their pins, alive. It knows no host: what it shows comes by `update`.
//
//   await loadDrawings(parts)              fetches draw.js or picture.svg of these parts; one without is drawn as a plain module
//   const drawing = bench({board, parts, label, hands, isStrip, isMarked, padClass, onPad})
//     board     GET /v1/devices/{device}: `pins`, `layout`, `chip`
//     parts     of GET /v1/devices/{device}/bench, or the `parts` of a trial's play; `side: "left"|"right"` may be added
//     hands     (id, values) => void: a hand set inputs of this part; null if nothing may be moved
//     isStrip   the narrow form: the board has only its wired pins
//     isMarked  each part says how its state is known, not its state (real boards)
//     padClass  (gpio) => string, onPad (pad, gpio): for choosing pins, not on a strip
//     side      units that stay free on the left and on the right
//   drawing.node                           the <svg>; each part is g.part[data-id], each pad g.pad[data-gpio]
//   drawing.update(states, levels)         states[id] is {state, screen, colors, source, says} as the host sends it: give a
//                                          new object if it changed. levels: Map(gpio, 0 to 1, or null if not known)
//   single(part)                           one part alone, {node, update({...state, screen, colors})}: for a palette

import { FIRST_ROW, ROW, layout, nameOf, wirePath } from "./bench_layout.js";
import { pictureDrawing } from "./picture.js";
import plainPart from "./plain_part.js";
import { s, say, set } from "./svg.js";

/** @typedef {import("./bench_layout.js").WiredPart} WiredPart */
/** @typedef {import("./bench_layout.js").Place} Place */
/** @typedef {import("./bench_layout.js").Plan} Plan */
/** @typedef {import("./svg.js").PartDrawing} PartDrawing */
/** @typedef {api.PartState} PartState */
/** @typedef {Map<number, number | null>} Levels */
/**
 * @typedef {{board: any, parts: WiredPart[], label: string, hands?: ((id: string, values: Record<string, number>) => void) | null,
 *   isStrip?: boolean, isMarked?: boolean, padClass?: ((gpio: number) => string) | null, onPad?: ((pad: SVGElement, gpio: number) => void) | null, side?: number}} BenchOptions
 */
/** @typedef {{path: SVGElement, gpio: number, id: string}} DrawnWire */
/** @typedef {{wired: WiredPart, drawing: PartDrawing, draw: (state: any) => void, words: SVGElement, frame: SVGElement, group: SVGElement, where: string, room: number, last: PartState | null}} DrawnPart */

const ENLARGED = 1.04;
/** How a state is known: the kind of its frame and the words for it. @type {Record<string, [string, string]>} */
export const SOURCES = {
  counted: ["good", "counted"],
  reported: ["good", "reported"],
  ordered: ["warn", "ordered"],
  trial: ["warn", "from the trial"],
  "not read": ["calm", "not read"],
};
/** @type {PartState} */
export const UNKNOWN = { state: {}, source: "not read" };

/** A pin without a part: a lamp for its level, 0 to 1; an input has none, as it lights nothing. @type {PartDrawing} */
const pinLamp = {
  size: [24, 24],
  draw(group, { isInput = false }) {
    const light = s("circle", { class: "glow", cx: 12, cy: 12, r: 7, opacity: 0 });
    const face = isInput ? s("text", { class: "print", x: 8.5, y: 16.5 }, "?") : [s("circle", { class: "lens", cx: 12, cy: 12, r: 7 }), light];
    group.append(s("g", { class: "c-yellow" }, s("rect", { class: "m-black", width: 24, height: 24, rx: 5 }), face));
    return ({ level = null }) => set(light, "opacity", level ?? 0);
  },
  says({ level = null }) {
    if (level === null) return null;
    if (level === 0 || level === 1) return level ? "high" : "low";
    return `high ${Math.round(level * 100)} %`;
  },
};
/** The files of the drawings that there are, `PART/FILE`: the server names them in the document. */
const files = document.querySelector('meta[name="drawings"]')?.getAttribute("content")?.split(" ") ?? [];
/** @type {Map<string, PartDrawing>} */
const drawings = new Map();

/** Fetch the drawings of these parts that are not here yet. @param {{part: string}[]} parts */
export async function loadDrawings(parts) {
  const names = new Set(parts.map((part) => part.part));
  await Promise.all(files.map(async (file) => {
    const [name = ""] = file.split("/");
    if (drawings.has(name) || !names.has(name)) return;
    const drawing = file.endsWith(".svg") ? pictureDrawing(`parts/${file}`) : import(`./parts/${file}`).then((module) => module.default);
    drawings.set(name, await drawing);
  }));
}

/** @param {{part: string}} part @returns {PartDrawing} */
export function drawingOf(part) {
  return part.part ? drawings.get(part.part) ?? plainPart : pinLamp;
}

/** What a drawing knows of its part besides the state. @param {WiredPart} part */
function attributesOf({ attributes, id, label, title, values }) {
  return { ...attributes, label: label ?? id, title, values };
}

/** @param {WiredPart} part @param {PartDrawing} drawing @returns {[number, number]} */
function sizeOf(part, drawing) {
  return drawing.sizeOf?.(attributesOf(part)) ?? drawing.size ?? [60, 60];
}

/** The kind of a signal, which its colour shows. @param {string} use of a terminal */
export function netOf(use) {
  if (use.endsWith("data")) return "sda";
  if (use.endsWith("clock")) return "scl";
  if (use === "adc") return "adc";
  return ["input", "one-wire", "single-wire"].includes(use) ? "in" : "out";
}

/** Draw a bench; see the top of this file. @param {BenchOptions} options */
export function bench({ board, parts, label, hands = null, isStrip = false, isMarked = false, padClass = null, onPad = null, side = 0 }) {
  const plan = layout(board, parts, (part) => sizeOf(part, drawingOf(part)), isStrip);
  const enlarged = isStrip ? 1 : ENLARGED;
  const width = plan.width + 2 * side;
  const back = isStrip ? strip(board, plan) : outline(board, plan);
  const wireLayer = s("g", { class: "wires" });
  const wires = plan.wires.map((wire) => drawWire(wireLayer, wire));
  const pads = s("g", { class: "pads" }, drawPads(plan, padClass, onPad));
  const front = s("g", { class: "parts" });
  const node = s("svg", { class: isStrip ? "bench squeezed" : "bench", viewBox: `${-side} 0 ${width} ${plan.height}`, role: "group", "aria-label": label,
    width: Math.round(width * enlarged), height: Math.round(plan.height * enlarged) }, back, wireLayer, pads, front);
  const drawnParts = plan.places.map((place) => drawPart(place, hands, isStrip));
  for (const part of drawnParts) {
    front.append(part.group);
    standOut(node, part, wires);
  }

  /** @param {Record<string, PartState>} states @param {Levels} [levels] */
  const update = (states, levels = new Map()) => {
    for (const part of drawnParts) showPart(part, states[part.wired.id] ?? UNKNOWN, isMarked);
    for (const { path, gpio } of wires) showLevel(path, levels.get(gpio));
  };
  update({});
  return { node, update };
}

/** One part alone. @param {WiredPart} part */
export function single(part) {
  const drawing = drawingOf(part);
  const [wide, high] = sizeOf(part, drawing);
  const group = s("g", {});
  const node = s("svg", { class: "bench single", viewBox: `-8 -8 ${wide + 16} ${high + 16}`, "aria-hidden": "true" }, group);
  const draw = drawing.draw(group, attributesOf(part), null);
  return { node, update: draw };
}

/** @param {PartState} known @returns {any} */
function stateOf({ state, screen = null, colors = null, says = null }) {
  return { ...state, screen, colors, text: says };
}

/** @param {DrawnPart} part @param {PartState} known @param {boolean} isMarked */
function showPart(part, known, isMarked) {
  if (known === part.last) return;
  part.last = known;
  part.draw(stateOf(known));
  const said = part.drawing.says(stateOf(known), attributesOf(part.wired));
  // On a real board some values can be known and others not: then the look may be unknown though a value was counted.
  const [kind, source] = SOURCES[isMarked && said === null ? "not read" : known.source ?? "counted"] ?? ["calm", "not read"];
  const state = said ?? "not read";
  const sourceWords = isMarked || kind !== "good" ? source : "";
  const words = sourceWords || state;
  say(part.words, words.length > part.room ? "" : words);
  set(part.words, "class", sourceWords ? `words ${kind}` : "words");
  set(part.frame, "class", `frame ${kind}`);
  part.group.classList.toggle("unknown", kind === "calm");
  const spoken = kind === "calm" ? sourceWords : [sourceWords, state].filter(Boolean).join(", ");
  set(part.group, "aria-label", `${nameOf(part.wired)}, ${part.wired.title} ${part.where}: ${spoken}`);
}

/** @param {SVGElement} path @param {number | null | undefined} level */
function showLevel(path, level) {
  path.classList.toggle("high", Boolean(level));
  path.classList.toggle("unknown", level === null);
}

/** @param {SVGElement} layer @param {import("./bench_layout.js").Wire} wire @returns {DrawnWire} */
function drawWire(layer, wire) {
  const d = wirePath(wire);
  const path = s("path", { class: `wire n-${netOf(wire.terminal.use)}`, d });
  layer.append(s("path", { class: "under", d }), path);
  return { path, gpio: wire.terminal.gpio, id: wire.place.wired.id };
}

/** @param {Plan} plan @param {BenchOptions["padClass"]} padClass @param {BenchOptions["onPad"]} onPad */
function drawPads(plan, padClass, onPad) {
  const { x, wide } = plan;
  if (plan.isStrip) {
    return plan.wires.map(({ terminal, isLeft }) => drawPad({ x: isLeft ? x + 9 : x + wide - 9, y: terminal.y, isLeft,
      label: String(terminal.gpio), gpio: terminal.gpio, isReserved: false, kind: `used n-${netOf(terminal.use)}` }));
  }
  const nets = new Map(plan.wires.map(({ terminal }) => [terminal.gpio, netOf(terminal.use)]));
  return plan.pads.map(({ side, row, label, gpio, isReserved }) => {
    const isLeft = side === "left";
    const net = gpio === null ? undefined : nets.get(gpio);
    const kinds = [gpio === null && "power", isReserved && "reserved", net && `used n-${net}`, gpio !== null && padClass?.(gpio)];
    const pad = drawPad({ x: isLeft ? x + 9 : x + wide - 9, y: plan.top + FIRST_ROW + row * ROW, isLeft, label, gpio,
      isReserved, kind: kinds.filter(Boolean).join(" ") });
    if (gpio !== null) onPad?.(pad, gpio);
    return pad;
  });
}

/** @param {{x: number, y: number, isLeft: boolean, label: string, gpio: number | null, isReserved: boolean, kind: string}} pad */
function drawPad({ x, y, isLeft, label, gpio, isReserved, kind }) {
  const inner = isLeft ? x + 14 : x - 14;
  const away = isLeft ? 1 : -1;
  const strike = s("path", { class: "strike", d: `M${inner - away * 3} ${y}h${away * (label.length * 7 + 6)}` });
  return s("g", { class: `pad ${kind}`, "data-gpio": gpio },
    s("rect", { class: "reach", x: isLeft ? x - 10 : x - 34, y: y - 11, width: 44, height: 22, rx: 5 }),
    s("circle", { class: "ringpad", cx: x, cy: y, r: 5.5 }), s("circle", { class: "bore", cx: x, cy: y, r: 2.2 }),
    s("text", { class: isLeft ? "number" : "number end", x: inner, y: y + 4 }, label), isReserved && strike);
}

/** @param {Place} place @param {BenchOptions["hands"]} hands @param {boolean} isStrip @returns {DrawnPart} */
function drawPart(place, hands, isStrip) {
  const { wired, room, x, y, wide, high, body, terminals } = place;
  const isLeft = place.side === "left";
  const drawing = drawingOf(wired);
  const inside = s("g", { transform: `translate(${x} ${y + (high - body) / 2})` });
  const frame = s("rect", { class: "frame good", x: x - 4, y: y - 4, width: wide + 8, height: high + 8, rx: 8 });
  const words = s("tspan", { class: "words", dx: 6 });
  const name = s("text", { class: isLeft ? "below end" : "below", x: isLeft ? x + wide : x, y: y + high + 18 }, s("tspan", { class: "id" }, nameOf(wired)), words);
  const ends = terminals.map((terminal) => [
    s("path", { class: "lead", d: `M${isLeft ? x + wide - 2 : x + 2} ${terminal.y}H${terminal.x}` }),
    s("circle", { class: `terminal n-${netOf(terminal.use)}`, cx: terminal.x, cy: terminal.y, r: 3.2 }),
    terminals.length > 1 && !isStrip && s("text", { class: isLeft ? "role" : "role end", x: terminal.x + (isLeft ? 4 : -4), y: terminal.y - 4 }, terminal.role),
  ]);
  const group = s("g", { class: "part", role: "group", "data-id": wired.id }, frame, inside, ends, name);
  const mayMove = hands !== null && hands !== undefined && Object.values(wired.values).some((value) => value.sets);
  const draw = drawing.draw(inside, attributesOf(wired), mayMove ? (values) => hands(wired.id, values) : null);
  const gpios = terminals.map((terminal) => terminal.gpio);
  const where = gpios.length > 0 ? `on pin ${gpios.join(" and ")}` : "not wired";
  return { wired, drawing, draw, words, frame, group, where, room, last: null };
}

/** A part that is pointed at, or reached by keyboard, stands out with its wires; a finger leaves no trace. @param {SVGElement} node @param {DrawnPart} part @param {DrawnWire[]} wires */
function standOut(node, { group, wired }, wires) {
  /** @param {boolean} isOn */
  const show = (isOn) => {
    node.classList.toggle("chosen", isOn);
    group.classList.toggle("on", isOn);
    for (const wire of wires) wire.path.classList.toggle("on", isOn && wire.id === wired.id);
  };
  group.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && show(true));
  group.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && show(false));
  for (const hand of group.querySelectorAll(".hand")) {
    hand.addEventListener("focus", () => hand.matches(":focus-visible") && show(true));
    hand.addEventListener("blur", () => show(false));
  }
}

/** The board's body: antenna, chip and socket; `usb` is the end with the socket. @param {any} board @param {Plan} plan */
function outline(board, { x, top, wide, high }) {
  const y = top - 6;
  const middle = x + wide / 2;
  const isUsbTop = board.layout?.usb === "top";
  const module = isUsbTop ? y + high - 130 : y + 8;
  const track = isUsbTop ? `M${middle - 30} ${module + 104}v12h10v-8h10v8h10v-8h10v8h10v-8` : `M${middle - 30} ${module + 18}v-12h10v8h10v-8h10v8h10v-8h10v8`;
  return s("g", { class: "devkit", "aria-hidden": "true" },
    s("rect", { class: "pcb", x, y, width: wide, height: high, rx: 7 }),
    s("rect", { class: "antenna", x: middle - 37, y: isUsbTop ? module + 92 : module, width: 74, height: 30, rx: 1 }),
    s("path", { class: "track", d: track }),
    s("rect", { class: "shield", x: middle - 37, y: isUsbTop ? module : module + 22, width: 74, height: 92, rx: 3 }),
    s("text", { class: "chip", x: middle, y: isUsbTop ? module + 50 : module + 72 }, chipName(board)),
    s("rect", { class: "shield", x: middle - 16, y: isUsbTop ? y - 8 : y + high - 28, width: 32, height: 36, rx: 4 }));
}

/** The board as a strip: its antenna above, its socket below. @param {any} board @param {Plan} plan */
function strip(board, { x, wide, height }) {
  const middle = x + wide / 2;
  return s("g", { class: "devkit", "aria-hidden": "true" },
    s("rect", { class: "pcb", x, y: 4, width: wide, height: height - 14, rx: 7 }),
    s("path", { class: "track", d: `M${middle - 30} 22v-10h10v7h10v-7h10v7h10v-7h10v7h10v-7` }),
    s("text", { class: "maker", x: middle, y: height - 26 }, chipName(board)),
    s("rect", { class: "shield", x: middle - 13, y: height - 19, width: 26, height: 18, rx: 3 }));
}

/** @param {any} board */
function chipName(board) {
  const name = String(board.chip ?? "").toUpperCase();
  return name.replace(/^ESP32-?(?=[A-Z])/, "ESP32-");
}
