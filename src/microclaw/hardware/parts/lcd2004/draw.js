// A display of 4 lines with 20 characters.

import { characterDisplay } from "../../characters.js";

export default characterDisplay;
