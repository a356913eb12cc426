// A slide switch: left and right.

import { either, toggle } from "../../shapes.js";
import { add, s, set } from "../../svg.js";

/** @type {[string, string]} */
const WORDS = ["left", "right"];

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [76, 40],
  draw(group, { label }, hands) {
    add(group, s("rect", { class: "m-metal", x: 2, y: 6, width: 72, height: 28, rx: 3 }));
    add(group, s("rect", { class: "m-black", x: 14, y: 12, width: 48, height: 16, rx: 2 }));
    const grip = s("path", { class: "grip", d: "M22 13v14M26 13v14M30 13v14" });
    const knob = s("g", {}, s("rect", { class: "m-white", x: 16, y: 9, width: 20, height: 22, rx: 2 }), grip);
    const { hand, show } = toggle(group, label ?? "switch", [76, 40], WORDS, hands && ((position) => hands({ position })));
    add(hand, knob);
    return ({ position = null }) => {
      set(knob, "transform", `translate(${(position ?? 0.5) * 24} 0)`);
      show(position);
    };
  },
  says: ({ position = null }) => either(position, WORDS),
};
