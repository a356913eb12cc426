// The icons: outlines of 24 by 24, in the colour of the text beside them. What they mean is said in words there.

import { html } from "./vendor/htm-preact.module.js";

/** @type {Record<string, string>} */
const OUTLINES = {
  home: "M3 11 12 4l9 7v9h-6v-6H9v6H3z",
  chat: "M4 5h16v11H10l-5 4v-4H4z",
  editor: "m8 7-5 5 5 5m8-10 5 5-5 5M14 5l-4 14",
  activity: "M2 12h5l3-8 4 16 3-8h5",
  begin: "M5 5v14M20 5 9 12l11 7z",
  back: "M18 5 8 12l10 7zM5 9v6",
  play: "M7 4v16l13-8z",
  pause: "M8 5v14M16 5v14",
  next: "m6 5 10 7-10 7zM19 9v6",
  gear: "M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM10.3 3h3.4l.5 2.6 2 1.2 2.5-.9 1.7 3-2 1.7v2.8l2 1.7-1.7 3-2.5-.9-2 1.2-.5 2.6h-3.4l-.5-2.6-2-1.2-2.5.9-1.7-3 2-1.7v-2.8l-2-1.7 1.7-3 2.5.9 2-1.2z",
};

/** @param {{name: string}} given */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${OUTLINES[name]} /></svg>`;
}
