// A rotary encoder: detents without an end, and a button. What turns it is sent as detents from where it is.

import { press, slide } from "../../hands.js";
import { add, s, set } from "../../svg.js";

const MIDDLE = 40;
const DETENTS = 20;
// At once: half a turn, as farther ones cannot be told from the other direction.
const MOST_DETENTS = DETENTS / 2;

/** The detents at a place around the knob that are nearest to `detents`. @param {number} x @param {number} y @param {number} detents */
function detentsAt(x, y, detents) {
  const place = (Math.atan2(x - MIDDLE, MIDDLE - y) / (2 * Math.PI)) * DETENTS;
  return place + DETENTS * Math.round((detents - place) / DETENTS);
}

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [80, 80],
  draw(group, { label }, hands) {
    const knob = s("g", {}, s("circle", { class: "m-metal", r: 32 }), s("circle", { class: "teeth", r: 31.5 }), s("circle", { class: "hand-mark", cy: -26, r: 2.6 }));
    const top = s("circle", { class: "m-metal dim", cx: MIDDLE, cy: MIDDLE, r: 19 });
    add(group, s("rect", { class: "m-board", x: 2, y: 2, width: 76, height: 76, rx: 4 }));
    // The part says nothing about where its knob stands: it is drawn as it was turned here.
    let detents = 0;
    const range = { least: -MOST_DETENTS, most: MOST_DETENTS, step: 1, value: 0, text: () => `${detents} detents` };
    const turnBy = hands && ((/** @type {number} */ turn) => {
      detents += turn;
      show(0);
      set(knob, "transform", `rotate(${((detents / DETENTS) * 360).toFixed(1)})`);
      hands({ turn });
    });
    const valueAt = (/** @type {number} */ x, /** @type {number} */ y) => detentsAt(x, y, detents) - detents;
    const place = s("g", { transform: `translate(${MIDDLE} ${MIDDLE})` }, knob);
    const show = slide(group, label ?? "encoder", range, [2, 2, 76, 76], valueAt, turnBy, place);
    press(group, `${label}: hold down`, [20, 20, 40, 40], hands && ((isDown) => hands({ pressed: isDown ? 1 : 0 })), top);
    return ({ pressed = null }) => set(top, "r", pressed ? 16 : 19);
  },
  says({ turn = null, pressed = null }) {
    if (turn === null && pressed === null) return "not known";
    const button = pressed ? "pressed" : "released";
    return turn ? `turned by ${Math.round(turn)}, ${button}` : button;
  },
};
