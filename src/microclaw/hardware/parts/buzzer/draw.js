// A buzzer: waves while it sounds, and its tone in words.

import { add, s, set } from "../../svg.js";

const WAVES = ["M56 15a15 15 0 0 1 0 20", "M62 9a23 23 0 0 1 0 32", "M68 4a31 31 0 0 1 0 42"];

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [78, 50],
  draw(group) {
    const waves = WAVES.map((d) => s("path", { class: "wave", d, opacity: 0 }));
    add(group, s("circle", { class: "m-black", cx: 27, cy: 25, r: 24 }), s("circle", { class: "ringline", cx: 27, cy: 25, r: 16.5 }));
    add(group, s("circle", { class: "hole deep", cx: 27, cy: 25, r: 4.5 }), waves);
    return ({ on = null }) => waves.forEach((wave, place) => set(wave, "opacity", on ? 1 - place * 0.28 : 0));
  },
  says({ on = null, tone = null }) {
    if (on === null) return null;
    if (!on) return "silent";
    return tone ? `${Math.round(tone)} Hz` : "sounds";
  },
};
