// Shapes that several parts have.

import { add, s, set } from "./svg.js";

/** Return an LED's body around `cx`, and a function that lets it glow, in the color of the class around it if none is given. @param {number} cx */
export function bulb(cx) {
  const lens = `M${cx - 11} 30V18a11 11 0 0 1 22 0v12z`;
  const outer = s("circle", { class: "halo", cx, cy: 18, r: 24, opacity: 0 });
  const inner = s("circle", { class: "halo", cx, cy: 18, r: 17, opacity: 0 });
  const light = s("path", { class: "glow", d: lens, opacity: 0 });
  const shapes = [
    outer, inner,
    s("path", { class: "lens", d: lens }), light,
    s("path", { class: "lens rim", d: `M${cx - 14} 30h28v4.5a1 1 0 0 1-1 1h-26a1 1 0 0 1-1-1z` }),
    s("path", { class: "shine", d: `M${cx - 6.5} 25v-7a6.5 6.5 0 0 1 4-6` }),
  ];
  /** @param {number} share @param {string} [color] */
  const glow = (share, color) => {
    set(light, "opacity", share);
    set(outer, "opacity", share * 0.16);
    set(inner, "opacity", share * 0.3);
    if (color === undefined) return;
    for (const node of [light, outer, inner]) set(node, "fill", color);
  };
  return { shapes, glow };
}

/** Return the color of three brightnesses of 0 to 1, as bright as it can be, and the largest of them as `share`. @param {number[]} levels */
export function mixColor(levels) {
  const share = Math.max(...levels);
  const parts = levels.map((level) => Math.round((level / (share || 1)) * 255));
  return { share, mixed: `rgb(${parts.join(" ")})` };
}

/** Set a small light: on, off, or not known. @param {Element} node @param {number | null} value */
export function light(node, value) {
  if (value === null) set(node, "class", "indicator unknown");
  else set(node, "class", value ? "indicator lit" : "indicator");
}

/**
 * Return the drawing of a stepper motor, seen along its shaft around 39, 39: where it stands. `drawBoard` returns the shapes
 * of what drives it.
 * @param {[number, number]} size @param {() => any[]} [drawBoard] @returns {import("./svg.js").PartDrawing}
 */
export function stepper(size, drawBoard = () => []) {
  return {
    size,
    draw(group) {
      const shaft = s("g", {}, s("path", { class: "m-black", d: "M-4-15h8v9h-8z" }), s("path", { class: "hand-mark", d: "M0-27v-6" }));
      add(group, drawBoard());
      add(group, s("path", { class: "m-metal dim", d: "M3 33h72v12H3z" }));
      add(group, s("circle", { class: "m-metal", cx: 39, cy: 39, r: 36 }));
      add(group, s("circle", { class: "ringline dark", cx: 39, cy: 39, r: 25 }));
      add(group, s("circle", { class: "m-metal dim", cx: 39, cy: 39, r: 10 }));
      add(group, s("g", { transform: "translate(39 39)" }, shaft, s("circle", { class: "screw", r: 4.5 })));
      return ({ angle = null }) => {
        set(shaft, "opacity", angle === null ? 0.35 : 1);
        if (angle !== null) set(shaft, "transform", `rotate(${angle.toFixed(1)})`);
      };
    },
    says({ angle = null, lost = null }) {
      if (angle === null) return null;
      const place = `${Math.round(angle)}°`;
      return lost ? `${place}, ${Math.round(lost)} steps lost` : place;
    },
  };
}
