// A color display: its glass with its picture.

import { pixelDisplay } from "../../pixels.js";

export default pixelDisplay("m-dark");
