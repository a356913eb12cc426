// A servo and its arm. While its angle is not known the arm is pale.

import { add, s, set } from "../../svg.js";

/** @type {import("../../svg.js").PartDrawing} */
export default {
  size: [112, 66],
  draw(group) {
    let last = 90;
    const arm = s("g", {},
      s("path", { class: "m-white", d: "M0-7.5 34-4a4 4 0 0 1 0 8L0 7.5a7.5 7.5 0 0 1 0-15z" }),
      [14, 22, 30].map((cx) => s("circle", { class: "bore", cx, cy: 0, r: 1.5 })),
      s("circle", { class: "screw", r: 4 }));
    add(group, s("path", { class: "m-servo dim", d: "M12 25h88v17H12z" }));
    add(group, s("rect", { class: "m-servo", x: 24, y: 14, width: 64, height: 38, rx: 4 }));
    add(group, [18, 94].map((cx) => s("circle", { class: "bore", cx, cy: 33.5, r: 2.5 })));
    add(group, s("circle", { class: "m-servo dim", cx: 44, cy: 33, r: 15 }), s("path", { class: "scale", d: "M12 33a32 32 0 0 1 64 0" }));
    add(group, s("g", { transform: "translate(44 33)" }, arm));
    return ({ angle = null }) => {
      last = angle ?? last;
      set(arm, "transform", `rotate(${(last - 180).toFixed(1)})`);
      set(arm, "opacity", angle === null ? 0.35 : 1);
    };
  },
  says({ angle = null }) {
    return angle === null ? null : `${Math.round(angle)}°`;
  },
};
