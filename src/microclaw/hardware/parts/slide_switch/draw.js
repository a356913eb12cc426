// A slide switch: left and right.

import { toggle } from "../../shapes.js";
import { s, set } from "../../svg.js";

export default toggle("position", [76, 40], ["left", "right"], () => {
  const grip = s("path", { class: "grip", d: "M22 13v14M26 13v14M30 13v14" });
  const knob = s("g", {}, s("rect", { class: "m-white", x: 16, y: 9, width: 20, height: 22, rx: 2 }), grip);
  const still = [
    s("rect", { class: "m-metal", x: 2, y: 6, width: 72, height: 28, rx: 3 }),
    s("rect", { class: "m-black", x: 14, y: 12, width: 48, height: 16, rx: 2 }),
  ];
  return { still, moving: [knob], show: (position) => set(knob, "transform", `translate(${(position ?? 0.5) * 24} 0)`) };
});
