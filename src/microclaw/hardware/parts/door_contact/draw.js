// A door contact: the switch on the frame, and the magnet on the door, which moves away when it opens.

import { toggle } from "../../shapes.js";
import { s, set } from "../../svg.js";

export default toggle("open", [96, 48], ["closed", "open"], () => {
  const frame = s("rect", { class: "m-white", x: 2, y: 8, width: 38, height: 32, rx: 3 });
  const magnet = s("g", {},
    s("rect", { class: "m-white", x: 42, y: 8, width: 22, height: 32, rx: 3 }),
    s("rect", { class: "pole", x: 47, y: 14, width: 12, height: 10 }),
    s("rect", { class: "pole south", x: 47, y: 24, width: 12, height: 10 }));
  const show = (/** @type {number | null} */ open) => {
    set(magnet, "transform", `translate(${open ? 30 : 0} 0)`);
    set(magnet, "opacity", open === null ? 0.4 : 1);
  };
  return { still: [frame, s("path", { class: "grip", d: "M10 24h9l7-4M28 24h5" })], moving: [magnet], show };
});
