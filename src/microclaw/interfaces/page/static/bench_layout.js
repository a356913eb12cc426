// Where everything on a bench stands: each part beside its pins, one line a signal without crossings. It draws nothing.

/** @typedef {"left" | "right"} Side */
/** A part of GET /v1/devices/{device}/bench, as the bench needs it; `side` is chosen if it is not given. @typedef {{id: string, part: string, title: string, label?: string | null, attributes: Record<string, any>, values: Record<string, any>, soldered?: boolean, pins: {role: string, use: string, gpio: number | null}[], side?: Side}} WiredPart */
/** A hole of a header. @typedef {{side: Side, row: number, label: string, gpio: number | null, isReserved: boolean}} Pad */
/** @typedef {{role: string, use: string, gpio: number, pad: Pad, x: number, y: number, padY: number}} Terminal */
/** `high` has room for the terminals, `body` is the drawing's own height, `room` how many letters fit beside its name. @typedef {{wired: WiredPart, room: number, wide: number, high: number, body: number, terminals: Terminal[], row: number, side: Side, x: number, y: number}} Place */
/** @typedef {{terminal: Terminal, place: Place, isLeft: boolean, edge: number, lane: number}} Wire */
/** @typedef {{pads: Pad[], places: Place[], wires: Wire[], isStrip: boolean, x: number, wide: number, top: number, high: number, width: number, height: number}} Plan */
/** @typedef {Record<Side, Place[]>} Columns */
/** @typedef {(part: WiredPart) => [number, number]} SizeOf a part's own units */

export const ROW = 22; // of a header
export const FIRST_ROW = 20; // from the board's upper end
const BOARD = 178;
const STRIP = 84; // the board of a strip
const GAP = 18; // between terminals
const LABEL = 26; // below a part
const SPACE = 14; // between parts of a strip
const LANE = 9;
const LABELS = 28; // beside a terminal: the name of its role
const STRAIGHT = 14; // a wire that is so nearly straight becomes straight
const MIDDLE_ROW = 8; // of a part without wires
const MAX_NAME = 20; // letters
/** @type {Side[]} */
const SIDES = ["left", "right"];

/** What a part is called: as its maker calls it, else its id. @param {{id: string, label?: string | null}} part */
export function nameOf({ id, label }) {
  return (label || id).slice(0, MAX_NAME);
}

/**
 * Lay out a board with its parts. `isStrip`: the board has only its wired pins, between the parts (phones, cards, the
 * editor). `board` is a device with `pins` and `layout`.
 * @param {any} board @param {WiredPart[]} parts @param {SizeOf} sizeOf @param {boolean} isStrip @returns {Plan}
 */
export function layout(board, parts, sizeOf, isStrip) {
  const pads = padsOf(board, parts, sizeOf);
  const places = parts.map((part) => placeOf(part, pads, sizeOf(part)));
  /** @type {Columns} */
  const columns = { left: [], right: [] };
  for (const place of places) {
    place.side = sideOf(place, columns);
    columns[place.side].push(place);
  }
  if (isStrip) balance(columns);
  for (const side of SIDES) columns[side].sort((a, b) => a.row - b.row || Number(a.wired.soldered ?? 0) - Number(b.wired.soldered ?? 0));

  const top = isStrip ? 38 : 16;
  const rows = Math.max(0, ...pads.map((pad) => pad.row + 1));
  const boardHigh = isStrip ? 0 : rows * ROW + 2 * FIRST_ROW;
  for (const side of SIDES) {
    if (isStrip) stack(columns[side], top);
    else standAtPins(columns[side], top, top + boardHigh);
  }
  const { x, wide, width } = setColumns(columns, isStrip);
  const wires = SIDES.flatMap((side) => wiresOf(columns[side], side, { x, wide, top, isStrip }));
  const bottom = Math.max(top + boardHigh, ...places.map((place) => place.y + place.high + LABEL));
  const high = isStrip ? bottom - top : boardHigh;
  const height = bottom + (isStrip ? 26 : 16);
  return { pads, places: [...columns.left, ...columns.right], wires, isStrip, x, wide, top, high, width, height };
}

/** Every hole of the headers; without a known order the pins by number. A wired pin that is on no header stands below. @param {any} board @param {WiredPart[]} parts @param {SizeOf} sizeOf @returns {Pad[]} */
function padsOf(board, parts, sizeOf) {
  /** @type {Map<number, any>} */
  const facts = new Map(board.pins.map((/** @type {any} */ pin) => [pin.pin, pin]));
  /** @type {Record<Side, Pad[]>} */
  const columns = { left: [], right: [] };
  const addPad = (/** @type {Side} */ side, /** @type {string} */ label, /** @type {number | null} */ gpio) => {
    const isReserved = gpio !== null && Boolean(facts.get(gpio)?.reserved);
    const isNumber = label === `IO${gpio}` || label === `GPIO${gpio}`;
    columns[side].push({ side, row: columns[side].length, label: isNumber ? String(gpio) : label, gpio, isReserved });
  };
  const headers = board.layout?.headers ?? [];
  for (const header of headers) {
    for (const place of header.pins) addPad(header.side, place.label, place.gpio);
  }
  const placed = new Set([...columns.left, ...columns.right].map((pad) => pad.gpio));
  const wired = new Set(parts.flatMap((part) => part.pins.map((pin) => pin.gpio)));
  const others = [...facts.keys()].filter((gpio) => !placed.has(gpio) && (headers.length === 0 || wired.has(gpio)));
  const leftCount = divide(others, parts, sizeOf);
  others.forEach((gpio, i) => addPad(i < leftCount ? "left" : "right", String(gpio), gpio));
  return [...columns.left, ...columns.right];
}

/** How many of these pins stand on the left, so that neither their parts nor the board are higher than they must be. @param {number[]} gpios @param {WiredPart[]} parts @param {SizeOf} sizeOf */
function divide(gpios, parts, sizeOf) {
  const half = Math.ceil(gpios.length / 2);
  const steps = parts.map((part) => ({ from: Math.max(-1, ...part.pins.map((pin) => gpios.indexOf(pin.gpio ?? -1))), high: sizeOf(part)[1] + LABEL + SPACE }));
  const heightAt = (/** @type {number} */ count) => {
    const left = steps.reduce((sum, step) => (step.from < count ? sum + step.high : sum), 0);
    const right = steps.reduce((sum, step) => (step.from < count ? sum : sum + step.high), 0);
    return Math.max(left, right, count * ROW, (gpios.length - count) * ROW);
  };
  const counts = gpios.map((_, i) => i).sort((a, b) => Math.abs(a - half) - Math.abs(b - half));
  return counts.reduce((best, count) => (heightAt(count) < heightAt(best) ? count : best), half);
}

/** Its terminals in the order of their pins, so that no wire crosses another. @param {WiredPart} wired @param {Pad[]} pads @param {[number, number]} size @returns {Place} */
function placeOf(wired, pads, [wide, body]) {
  /** @type {Terminal[]} */
  const terminals = [];
  for (const { role, use, gpio } of wired.pins) {
    const pad = pads.find((candidate) => gpio !== null && candidate.gpio === gpio);
    if (gpio !== null && pad !== undefined) terminals.push({ role, use, gpio, pad, x: 0, y: 0, padY: 0 });
  }
  terminals.sort((a, b) => a.pad.row - b.pad.row);
  const rowSum = terminals.reduce((sum, terminal) => sum + terminal.pad.row, 0);
  const row = terminals.length > 0 ? rowSum / terminals.length : MIDDLE_ROW;
  return { wired, room: 0, wide, high: Math.max(body, terminals.length * GAP), body, terminals, row, side: "left", x: 0, y: 0 };
}

/** The side of most of its pins, else the emptier one. @param {Place} place @param {Columns} columns @returns {Side} */
function sideOf({ wired, terminals }, columns) {
  if (wired.side) return wired.side;
  const right = terminals.filter((terminal) => terminal.pad.side === "right").length;
  if (right * 2 === terminals.length) return highOf(columns.left) > highOf(columns.right) ? "right" : "left";
  return right * 2 > terminals.length ? "right" : "left";
}

/** @param {Place[]} column */
function highOf(column) {
  return column.reduce((sum, place) => sum + place.high + LABEL + SPACE, 0);
}

/** Move parts to the shorter column: a strip keeps no sides. @param {Columns} columns */
function balance(columns) {
  for (;;) {
    const isLeftLong = highOf(columns.left) >= highOf(columns.right);
    const [long, short] = isLeftLong ? [columns.left, columns.right] : [columns.right, columns.left];
    const last = long.at(-1);
    if (last === undefined || last.wired.side || highOf(short) + last.high + LABEL + SPACE >= highOf(long)) return;
    long.pop();
    last.side = isLeftLong ? "right" : "left";
    short.push(last);
  }
}

/** @param {Place[]} column @param {number} top */
function stack(column, top) {
  let y = top;
  for (const place of column) {
    place.y = y;
    y += place.high + LABEL + SPACE;
  }
}

/** Each part at the height of its pins, then pushed apart: down, up from the board's end, and down again. @param {Place[]} column @param {number} top @param {number} end */
function standAtPins(column, top, end) {
  let least = top;
  for (const place of column) {
    place.y = Math.max(least, top + FIRST_ROW + place.row * ROW - place.high / 2);
    least = place.y + place.high + LABEL + 10;
  }
  let most = end;
  for (const place of [...column].reverse()) {
    if (place.y + place.high + LABEL > most) place.y = Math.max(top, most - place.high - LABEL);
    most = place.y - 10;
  }
  column.forEach((place, i) => straighten(place, column[i - 1], column[i + 1], top));
  least = top;
  for (const place of column) {
    place.y = Math.max(place.y, least);
    least = place.y + place.high + LABEL;
  }
}

/** @param {Place} place @param {Place | undefined} above @param {Place | undefined} below @param {number} top */
function straighten(place, above, below, top) {
  const first = place.terminals[0];
  if (first === undefined) return;
  const by = top + FIRST_ROW + first.pad.row * ROW - terminalY(place, 0);
  const least = above === undefined ? top : above.y + above.high + LABEL;
  const most = below?.y ?? Infinity;
  const isFree = place.y + by > least && place.y + by + place.high + LABEL < most;
  if (Math.abs(by) < STRAIGHT && isFree) place.y += by;
}

/** @param {Place} place @param {number} i */
function terminalY(place, i) {
  return place.y + place.high / 2 + (i - (place.terminals.length - 1) / 2) * GAP;
}

/** Set the columns beside the board, and the terminals beside their parts. @param {Columns} columns @param {boolean} isStrip */
function setColumns({ left, right }, isStrip) {
  const lead = isStrip ? 8 : 12; // from a part's body to its terminal
  const margin = isStrip ? 6 : 10;
  const wide = isStrip ? STRIP : BOARD;
  const [letter, wordLetters] = isStrip ? [7.6, 9] : [7, 15];
  const columnWide = (/** @type {Place[]} */ column) => {
    const labels = column.map((place) => (nameOf(place.wired).length + wordLetters) * letter); // a name and a word
    return Math.max(0, ...labels, ...column.map((place) => place.wide));
  };
  const channel = (/** @type {Place[]} */ column) => {
    if (column.length === 0) return 16;
    const count = column.reduce((sum, place) => sum + place.terminals.length, 0);
    return isStrip ? 9 : Math.max(60, LABELS + (count + 1) * LANE);
  };
  const leftWide = columnWide(left);
  const x = margin + leftWide + (left.length > 0 ? lead : 0) + channel(left);
  const rightWide = columnWide(right);
  const rightX = x + wide + channel(right) + (right.length > 0 ? lead : 0);
  for (const place of [...left, ...right]) {
    const isLeft = place.side === "left";
    place.room = Math.floor((isLeft ? leftWide : rightWide) / letter) - nameOf(place.wired).length - 1;
    place.x = isLeft ? margin + leftWide - place.wide : rightX;
    place.terminals.forEach((terminal, i) => {
      terminal.x = isLeft ? place.x + place.wide + lead : place.x - lead;
      terminal.y = terminalY(place, i);
    });
  }
  return { x, wide, width: rightX + rightWide + margin };
}

/** The wires of a column, each with a lane of its own where it turns. @param {Place[]} column @param {Side} side @param {{x: number, wide: number, top: number, isStrip: boolean}} board @returns {Wire[]} */
function wiresOf(column, side, { x, wide, top, isStrip }) {
  const isLeft = side === "left";
  /** @type {Wire[]} */
  const wires = [];
  for (const place of column) {
    for (const terminal of place.terminals) {
      // On a strip a pin is drawn beside its part.
      terminal.padY = isStrip ? terminal.y : top + FIRST_ROW + terminal.pad.row * ROW;
      const isAcross = !isStrip && terminal.pad.side !== side;
      wires.push({ terminal, place, isLeft, edge: isLeft === isAcross ? x + wide : x, lane: 0 });
    }
  }
  const down = wires.filter(({ terminal }) => terminal.padY > terminal.y).sort((a, b) => b.terminal.y - a.terminal.y);
  const up = wires.filter(({ terminal }) => terminal.padY <= terminal.y).sort((a, b) => a.terminal.y - b.terminal.y);
  for (const group of [down, up]) {
    group.forEach((wire, i) => {
      wire.lane = wire.terminal.x + (isLeft ? 1 : -1) * (LABELS + i * LANE);
    });
  }
  return wires;
}

/** A wire's path, with round corners. @param {Wire} wire */
export function wirePath({ terminal: { x, y, padY }, lane, edge, isLeft }) {
  if (Math.abs(padY - y) < 0.6) return `M${x} ${y}H${edge}`;
  const across = isLeft ? 1 : -1;
  const down = Math.sign(padY - y);
  const r = Math.min(6, Math.abs(padY - y) / 2);
  return `M${x} ${y}H${lane - across * r}Q${lane} ${y} ${lane} ${y + down * r}V${padY - down * r}Q${lane} ${padY} ${lane + across * r} ${padY}H${edge}`;
}
