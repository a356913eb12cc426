// Shift registers: a lamp for each output.

import { light } from "../../shapes.js";
import { add, s } from "../../svg.js";

const BITS = 8;
const ROW = 34;

/** @type {import("../../svg.js").PartDrawing} */
export default {
  sizeOf: ({ count = 1 }) => [148, count * ROW],
  draw(group, { count = 1 }) {
    const lamps = Array.from({ length: count * BITS }, (_, bit) => {
      const cx = 13 + (bit % BITS) * 17.4;
      const cy = Math.floor(bit / BITS) * ROW + 11;
      return { lamp: s("circle", { class: "indicator", cx, cy, r: 5 }), name: s("text", { class: "print small", x: cx, y: cy + 15 }, String(bit)) };
    });
    for (let chip = 0; chip < count; chip += 1) add(group, s("rect", { class: "m-black", y: chip * ROW, width: 148, height: ROW - 3, rx: 3 }));
    add(group, lamps.map(({ lamp, name }) => [lamp, name]));
    return ({ outputs = null }) => {
      // More than 32 outputs: the operators of bits have no room for them.
      lamps.forEach(({ lamp }, bit) => light(lamp, outputs === null ? null : Math.floor(outputs / 2 ** bit) % 2));
    };
  },
  says({ outputs = null }, { count = 1 }) {
    if (outputs === null) return null;
    const numbers = Array.from({ length: count * BITS }, (_, bit) => bit);
    const high = numbers.filter((bit) => Math.floor(outputs / 2 ** bit) % 2 === 1);
    return high.length > 0 ? `high: ${high.map((bit) => `Q${bit}`).join(", ")}` : "all low";
  },
};
