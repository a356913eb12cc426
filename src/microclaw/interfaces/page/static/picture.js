// Drawings of parts that are only a picture, `hardware/parts/NAME/picture.svg`. Its looks are the classes of parts.css.
//
// A sensor's picture is 164 wide, and its values stand below it. Any other part has one value of 0 or 1, which its <svg>
// names: data-value="pressed" data-words="released,pressed". A shape with data-if="0 unknown" is there only then. What hands
// hold down is in <g data-hand="press" data-does="hold down">, what they move to the left and right in <g data-hand="slide">.

import { press, slide } from "./hands.js";
import { sensor } from "./plain_part.js";
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
  return {
    size,
    draw(group, { label }, hands) {
      const shapes = copy(picture);
      const conditional = [...shapes.querySelectorAll("[data-if]")];
      const moved = /** @type {HTMLElement | null} */ (shapes.querySelector("[data-hand]"));
      moved?.remove();
      add(group, [...shapes.children]);
      const { hand, does } = moved?.dataset ?? {};
      const moving = [...(moved?.children ?? [])];
      /** @type {import("./hands.js").Box} */
      const box = [0, 0, ...size];
      let showHand = (/** @type {number | null} */ _value) => {};
      if (hand === "press") press(group, hands, { label: `${label}: ${does}`, box, input: value }, moving);
      if (hand === "slide") {
        showHand = slide(group, hands, { label: label ?? value, box, input: value, least: 0, most: 1, step: 1,
          text: (at) => (at === 0 ? low : high), valueAt: (x) => (x > size[0] / 2 ? 1 : 0) }, moving);
      }
      return ({ [value]: at = null }) => {
        for (const shape of conditional) {
          const isShown = shape.getAttribute("data-if")?.split(" ").includes(String(at ?? "unknown"));
          set(shape, "display", isShown ? "inline" : "none");
        }
        showHand(at);
      };
    },
    says({ [value]: at = null }) {
      if (at === null) return null;
      return at ? high : low;
    },
  };
}
