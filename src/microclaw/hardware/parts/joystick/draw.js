// A joystick: its stick is pressed, and a slider for each direction moves it.

import { press } from "../../hands.js";
import { reading, slider } from "../../plain_part.js";
import { add, s, set } from "../../svg.js";

const PERCENT = { least: 0, most: 100, step: 1, unit: "%", sets: true };

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [148, 112],
  draw(group, { label, values }, hands) {
    add(group, s("rect", { class: "m-board", x: 36, width: 76, height: 76, rx: 4 }), s("circle", { class: "m-black", cx: 74, cy: 38, r: 34 }));
    const stick = s("g", {}, s("circle", { class: "m-knob", r: 18 }), s("circle", { class: "m-knob top", r: 12 }));
    press(group, hands, { label: `${label}: hold down`, box: [48, 12, 52, 52], input: "pressed" }, stick);
    add(group, s("text", { class: "name", x: 0, y: 90 }, "x"), s("text", { class: "name", x: 0, y: 108 }, "y"));
    const showX = slider(group, hands, { label: `${label}: x`, place: [12, 86, 136], input: "x", facts: values?.x ?? PERCENT });
    const showY = slider(group, hands, { label: `${label}: y`, place: [12, 104, 136], input: "y", facts: values?.y ?? PERCENT });
    return ({ x = null, y = null, pressed = null }) => {
      const right = ((x ?? 50) - 50) * 0.3;
      const up = ((y ?? 50) - 50) * 0.3;
      set(stick, "opacity", x === null || y === null ? 0.35 : 1);
      set(stick, "transform", `translate(${(74 + right).toFixed(1)} ${(38 - up).toFixed(1)}) scale(${pressed ? 0.88 : 1})`);
      showX(x);
      showY(y);
    };
  },
  says({ x = null, y = null, pressed = null }) {
    if (x === null || y === null) return null;
    return `x ${reading(x, PERCENT)}, y ${reading(y, PERCENT)}, ${pressed ? "pressed" : "released"}`;
  },
};
