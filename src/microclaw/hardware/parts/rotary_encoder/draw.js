// A rotary encoder: detents without an end, and a button. What turns it is sent as detents from where it is.

import { press, slide, turnsAt } from "../../hands.js";
import { add, s, set } from "../../svg.js";

const MIDDLE = 40;
const DETENTS = 20;
// At once: half a turn, as farther ones cannot be told from the other direction.
const MOST_DETENTS = DETENTS / 2;

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [80, 80],
  draw(group, { label }, hands) {
    const knob = s("g", {}, s("circle", { class: "m-metal", r: 32 }), s("circle", { class: "teeth", r: 31.5 }), s("circle", { class: "hand-mark", cy: -26, r: 2.6 }));
    const top = s("circle", { class: "m-metal dim", cx: MIDDLE, cy: MIDDLE, r: 19 });
    add(group, s("rect", { class: "m-board", x: 2, y: 2, width: 76, height: 76, rx: 4 }));
    // The part says nothing about where its knob stands: it is drawn as it was turned here.
    let detents = 0;
    const turn = hands && ((/** @type {Record<string, number>} */ values) => {
      detents += values.turn ?? 0;
      show(0);
      set(knob, "transform", `rotate(${((detents / DETENTS) * 360).toFixed(1)})`);
      hands(values);
    });
    const place = s("g", { transform: `translate(${MIDDLE} ${MIDDLE})` }, knob);
    const show = slide(group, turn, {
      label: `${label}`, box: [2, 2, 76, 76], input: "turn",
      least: -MOST_DETENTS, most: MOST_DETENTS, step: 1,
      text: () => `${detents} detents`,
      valueAt(x, y) {
        const way = turnsAt(x, y, MIDDLE) * DETENTS - detents;
        return way - DETENTS * Math.round(way / DETENTS);
      },
    }, place);
    show(0);
    press(group, hands, { label: `${label}: hold down`, box: [20, 20, 40, 40], input: "pressed" }, top);
    return ({ pressed = null }) => set(top, "r", pressed ? 16 : 19);
  },
  says({ turn = null, pressed = null }) {
    if (turn === null && pressed === null) return null;
    const button = pressed ? "pressed" : "released";
    return turn ? `turned by ${Math.round(turn)}, ${button}` : button;
  },
};
