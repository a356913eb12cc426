// A display of 4 lines with 20 characters.

export { characterDisplay as default } from "../../characters.js";
