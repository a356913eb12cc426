// A port expander: a lamp for the level of each pin; held down, a pin is pulled to ground as a button does it.

import { press } from "../../hands.js";
import { light } from "../../shapes.js";
import { add, s } from "../../svg.js";

const PINS = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"];

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [148, 88],
  draw(group, { label }, hands) {
    add(group, s("rect", { class: "m-blue", width: 148, height: 88, rx: 4 }));
    const lamps = PINS.map((pin, number) => {
      const x = 4 + (number % 4) * 35.5;
      const y = number < 4 ? 4 : 46;
      const lamp = s("circle", { class: "indicator", cx: x + 16.5, cy: y + 13, r: 5.5 });
      const name = s("text", { class: "print small", x: x + 16.5, y: y + 33 }, pin.toUpperCase());
      press(group, hands, { label: `${label}: pull ${pin} to ground`, box: [x, y, 33, 38], input: pin, held: 0 }, lamp, name);
      return lamp;
    });
    return (state) => lamps.forEach((lamp, number) => light(lamp, state[PINS[number] ?? ""] ?? null));
  },
  says(state) {
    const known = PINS.filter((pin) => (state[pin] ?? null) !== null);
    if (known.length === 0) return null;
    const low = known.filter((pin) => state[pin] === 0);
    return low.length > 0 ? `low: ${low.map((pin) => pin.toUpperCase()).join(", ")}` : "all high";
  },
};
