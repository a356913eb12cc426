// A potentiometer: turned by dragging around it, or with the arrow keys.

import { slide } from "../../hands.js";
import { add, s, set } from "../../svg.js";

const MIDDLE = 34;
const LEFT_END = -135;
const RIGHT_END = 135;

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [68, 68],
  draw(group, { label, values }, hands) {
    const { least = 0, most = 100, step = 1 } = values?.position ?? {};
    const pointer = s("path", { class: "pointer", d: "M0-10v-11" });
    const knob = s("g", {}, s("circle", { class: "m-knob", r: 23 }), s("circle", { class: "m-knob top", r: 17 }), pointer);
    add(group, s("path", { class: "ticks", d: "M12.79 55.21A30 30 0 1 1 55.21 55.21" }));
    /** @param {number} x @param {number} y */
    const valueAt = (x, y) => {
      const degrees = (Math.atan2(x - MIDDLE, MIDDLE - y) * 180) / Math.PI;
      const share = (Math.max(LEFT_END, Math.min(RIGHT_END, degrees)) - LEFT_END) / (RIGHT_END - LEFT_END);
      return least + share * (most - least);
    };
    const range = { least, most, step, value: null, text: (/** @type {number} */ value) => `${value} %` };
    const place = s("g", { transform: `translate(${MIDDLE} ${MIDDLE})` }, knob);
    const show = slide(group, label ?? "knob", range, [2, 2, 64, 64], valueAt, hands && ((position) => hands({ position })), place);
    return ({ position = null }) => {
      const share = ((position ?? least) - least) / (most - least);
      set(pointer, "opacity", position === null ? 0 : 1);
      set(knob, "transform", `rotate(${(LEFT_END + share * (RIGHT_END - LEFT_END)).toFixed(1)})`);
      show(position);
    };
  },
  says({ position = null }) {
    return position === null ? "not known" : `${Math.round(position)} %`;
  },
};
