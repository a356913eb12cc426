// Anything that a pin reads as on or off: a contact that is open or closed.

import { toggle } from "../../shapes.js";
import { s, set } from "../../svg.js";

export default toggle("on", [76, 44], ["off", "on"], () => {
  const arm = s("path", { class: "arm", d: "M24 26 52 26" });
  const ends = [24, 52].map((cx) => s("circle", { class: "contactdot", cx, cy: 26, r: 3 }));
  const board = s("rect", { class: "m-board", x: 2, y: 3, width: 72, height: 38, rx: 4 });
  const show = (/** @type {number | null} */ on) => {
    set(arm, "d", on ? "M24 26 52 26" : "M24 26 49 12");
    set(arm, "opacity", on === null ? 0 : 1);
  };
  return { still: [board, s("path", { class: "contact", d: "M8 26h16M52 26h16" })], moving: [arm, ends], show };
});
