// Elements of a drawing, and the form of a part's drawing. Looks are classes, live values are SVG attributes: the page
// has no style attribute.

const SVG = "http://www.w3.org/2000/svg";

/** What a display shows, as hardware/screens/screen.py has it; `data` is zlib in base64. @typedef {{kind: "pixels" | "colors" | "text" | "digits", width: number, height: number, data: string, mark: string}} Screen */
/** The values of a part by their names in its part.toml, null if not known; `screen` of a display and its content in words as `text`, `colors` ("ff0000") of addressable LEDs. @typedef {Record<string, number | null> & {screen?: Screen | null, text?: string | null, colors?: string[] | null}} State */
/** A value of a part: its range, and whether hands can set it. @typedef {{least: number, most: number, unit: string, step: number, sets: boolean, choices?: number[]}} Value */
/** Sets inputs of a part by their names. @typedef {(values: Record<string, number>) => void} Hands */
/** The part's attributes; besides its label or id as `label`, its `title`, and its values by name. @typedef {Record<string, any> & {label?: string, title?: string, values?: Record<string, Value>}} Attributes */
/**
 * `hardware/parts/NAME/draw.js` exports one of these. `draw` gets an empty group at 0,0 in the part's own units (a unit
 * is a pixel at full size), and returns a function that shows a state. `says` is the state in words; null if what is drawn is not known: if a look
 * depends on several values, all of them must be.
 * @typedef {{
 *   size?: [number, number], sizeOf?: (attributes: Attributes) => [number, number],
 *   draw: (group: SVGElement, attributes: Attributes, hands: Hands | null) => (state: State) => void,
 *   says: (state: State, attributes: Attributes) => string | null,
 * }} PartDrawing
 */

/** An SVG element; an attribute of null is none. @param {string} tag @param {Record<string, any>} [attributes] @param {any[]} children @returns {SVGElement} */
export function s(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null) node.setAttribute(name, value);
  }
  return add(/** @type {SVGElement} */ (node), children);
}

/** Put children, also lists of them, into a group; `false` is none. @param {SVGElement} group @param {any[]} children */
export function add(group, ...children) {
  group.append(...children.flat(Infinity).filter((child) => child !== false));
  return group;
}

/** Set an attribute only if it changes: a drawing that stands still costs nothing. @param {Element} node @param {string} name @param {unknown} value */
export function set(node, name, value) {
  const text = String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

/** Set a text only if it changes. @param {Element} node @param {string} text */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
