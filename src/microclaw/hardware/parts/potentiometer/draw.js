// A potentiometer: turned by dragging around it, or with the arrow keys.

import { slide, turnsAt } from "../../hands.js";
import { add, s, set } from "../../svg.js";

const MIDDLE = 34;
// From its left end to its right end, in turns.
const SWEEP = 0.75;

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [68, 68],
  draw(group, { label, values }, hands) {
    const { least = 0, most = 100, step = 1 } = values?.position ?? {};
    const pointer = s("path", { class: "pointer", d: "M0-10v-11" });
    const knob = s("g", {}, s("circle", { class: "m-knob", r: 23 }), s("circle", { class: "m-knob top", r: 17 }), pointer);
    add(group, s("path", { class: "ticks", d: "M12.79 55.21A30 30 0 1 1 55.21 55.21" }));
    const place = s("g", { transform: `translate(${MIDDLE} ${MIDDLE})` }, knob);
    const show = slide(group, hands, {
      label: `${label}`, box: [2, 2, 64, 64], input: "position",
      least, most, step,
      text: (value) => `${value} %`,
      valueAt: (x, y) => least + (turnsAt(x, y, MIDDLE) / SWEEP + 0.5) * (most - least),
    }, place);
    return ({ position = null }) => {
      const share = ((position ?? least) - least) / (most - least);
      set(pointer, "opacity", position === null ? 0 : 1);
      set(knob, "transform", `rotate(${((share - 0.5) * SWEEP * 360).toFixed(1)})`);
      show(position);
    };
  },
  says({ position = null }) {
    return position === null ? null : `${Math.round(position)} %`;
  },
};
