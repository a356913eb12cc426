// A keypad of four by four: a key joins a row with a column.

import { press } from "../../hands.js";
import { add, s, set } from "../../svg.js";

const KEYS = [..."123A456B789C*0#D"];

/** @param {import("../../svg.js").State} state */
function pressedKeys(state) {
  return KEYS.filter((key) => state[key]);
}

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [148, 148],
  draw(group, { label }, hands) {
    add(group, s("rect", { class: "m-black", width: 148, height: 148, rx: 6 }));
    const caps = KEYS.map((key, place) => {
      const x = 6 + (place % 4) * 35;
      const y = 6 + Math.floor(place / 4) * 35;
      const cap = s("rect", { class: "keycap", x, y, width: 31, height: 31, rx: 4 });
      const legend = s("text", { class: "legend", x: x + 15.5, y: y + 20.5 }, key);
      press(group, hands, { label: `${label}: key ${key}`, box: [x, y, 31, 31], input: key }, cap, legend);
      return cap;
    });
    return (state) => {
      const pressed = pressedKeys(state);
      caps.forEach((cap, place) => set(cap, "class", pressed.includes(KEYS[place] ?? "") ? "keycap down" : "keycap"));
    };
  },
  says(state) {
    const pressed = pressedKeys(state);
    if (pressed.length > 0) return `key ${pressed.join(", ")}`;
    const isKnown = KEYS.some((key) => (state[key] ?? null) !== null);
    return isKnown ? "no key" : null;
  },
};
