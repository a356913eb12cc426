// The place of a bench in a view: drawn when its parts' drawings are here, and again if something else stands there.

import { bench, loadDrawings } from "./bench.js";
import { letGo } from "./hands.js";
import { Problem } from "./parts.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/htm-preact.module.js";

/** @typedef {ReturnType<typeof bench>} Drawing */

/** @param {Element} stage @param {string} id of a part @returns {NodeListOf<SVGElement>} */
function handsOf(stage, id) {
  return stage.querySelectorAll(`[data-id="${CSS.escape(id)}"] .hand`);
}

/** The hand that has the keyboard, by its part and its place there: a bench that is drawn again must not lose it. @param {Element | null} stage */
function focusedHand(stage) {
  const hand = document.activeElement;
  const id = hand?.closest("[data-id]")?.getAttribute("data-id");
  if (!stage || !id || !stage.contains(hand)) return null;
  return { id, index: [...handsOf(stage, id)].findIndex((one) => one === hand) };
}

export const NARROW = "(max-width: 44rem)"; // a window with no room for a whole board and its parts

/**
 * Return the place, and the drawing in it, null before it is there. It is drawn again if `look` is another one.
 * @param {import("./bench.js").BenchOptions | null} options null: it waits @param {any[]} look @returns {[any, Drawing | null]}
 */
export function useStage(options, look) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const [drawing, setDrawing] = useState(/** @type {Drawing | null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  useEffect(() => {
    if (options === null) return undefined;
    let isHere = true;
    const draw = () => {
      if (!isHere) return;
      const drawn = bench(options);
      letGo(place.current);
      const focused = focusedHand(place.current);
      place.current?.replaceChildren(drawn.node);
      if (focused) handsOf(drawn.node, focused.id)[focused.index]?.focus({ preventScroll: true });
      setDrawing(drawn);
    };
    loadDrawings(options.parts).then(draw, (/** @type {Error} */ problem) => (
      setError({ message: `the drawings of the parts did not come: ${problem.message}`, next: "load the page again" })));
    return () => {
      isHere = false;
    };
  }, look);
  useLayoutEffect(() => {
    const stage = place.current;
    const release = () => letGo(stage);
    addEventListener("pagehide", release);
    return () => {
      removeEventListener("pagehide", release);
      release();
    };
  }, []);
  return [html`<${Problem} error=${error} /><div class="stage" ref=${place}></div>`, drawing];
}
