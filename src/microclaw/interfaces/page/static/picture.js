// Drawings of parts that are only a picture, `hardware/parts/NAME/picture.svg`. Its looks are the classes of parts.css.
//
// A sensor's picture is 164 wide, and its values stand below it. Any other part has one value of 0 or 1, which its <svg>
// names: data-value="pressed" data-words="released,pressed". A shape with data-if="0 unknown" is there only then. What hands
// hold down is in <g data-hand="press" data-does="hold down">, what they move to the left and right in <g data-hand="slide">.

import { press } from "./hands.js";
import { sensor } from "./plain_part.js";
import { either, toggle } from "./shapes.js";
import { add, set } from "./svg.js";

/** @typedef {import("./svg.js").PartDrawing} PartDrawing */

/** Fetch a picture. @param {string} file @returns {Promise<PartDrawing>} */
export async function pictureDrawing(file) {
  const answer = await fetch(new URL(file, import.meta.url));
  if (!answer.ok) throw new Error(`${file} is not there`);
  const picture = new DOMParser().parseFromString(await answer.text(), "image/svg+xml").documentElement;
  const length = (/** @type {string} */ name) => Number(picture.getAttribute(name));
  if (picture.dataset.value) return twoStates(picture, [length("width"), length("height")]);
  return sensor(length("height"), () => [...copy(picture).children]);
}

/** @param {Element} picture */
function copy(picture) {
  return /** @type {Element} */ (picture.cloneNode(true));
}

/** The drawing of a part with one value of 0 or 1. @param {HTMLElement} picture @param {[number, number]} size @returns {PartDrawing} */
function twoStates(picture, size) {
  const { value = "", words = "" } = picture.dataset;
  const [low = "", high = ""] = words.split(",");
  const { hand, does } = /** @type {HTMLElement | null} */ (picture.querySelector("[data-hand]"))?.dataset ?? {};
  const drawShapes = () => {
    const shapes = copy(picture);
    const conditional = [...shapes.querySelectorAll("[data-if]")];
    const moved = shapes.querySelector("[data-hand]");
    moved?.remove();
    /** @param {number | null} state */
    const show = (state) => {
      for (const shape of conditional) {
        const isShown = shape.getAttribute("data-if")?.split(" ").includes(String(state ?? "unknown"));
        set(shape, "display", isShown ? "inline" : "none");
      }
    };
    return { still: [...shapes.children], moving: [...(moved?.children ?? [])], show };
  };
  if (hand === "slide") return toggle(value, size, [low, high], drawShapes);
  return {
    size,
    draw(group, { label }, hands) {
      const { still, moving, show } = drawShapes();
      add(group, still);
      if (hand) press(group, hands, { label: `${label}: ${does}`, box: [0, 0, ...size], input: value }, moving);
      return (state) => show(state[value] ?? null);
    },
    says: (state) => either(state[value] ?? null, [low, high]),
  };
}
