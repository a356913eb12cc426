// A stepper motor on its driver board: where its shaft stands.

import { stepper } from "../../shapes.js";

export default stepper([78, 78]);
