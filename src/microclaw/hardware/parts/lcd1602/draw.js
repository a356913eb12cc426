// A display of 2 lines with 16 characters.

import { characterDisplay } from "../../characters.js";

export default characterDisplay;
