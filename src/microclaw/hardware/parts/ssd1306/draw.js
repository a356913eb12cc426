// An OLED: its glass with the pixels that are lit.

export { oled as default } from "../../pixels.js";
