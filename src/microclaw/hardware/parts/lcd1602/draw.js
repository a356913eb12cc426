// A display of 2 lines with 16 characters.

export { characterDisplay as default } from "../../characters.js";
