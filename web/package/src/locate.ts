/** Where things are: parts of the package beside this file, models beside the page. */

import type { ModelSource } from "./types.js";

/** The parts of the package; bundlers recognize this form and copy the files. */
export const ENGINE_URL = new URL("./engine.js", import.meta.url);
export const WASM_URL = new URL("./engine_bg.wasm", import.meta.url);

/** The demo model that ships with the package; not in the bundlers' form, since it is a folder. */
const DEMO_FOLDER = "model/";

/** Makes a model's address absolute, so that a worker understands it. */
export function locate(model: ModelSource): string | File[] {
  if (Array.isArray(model)) return model;
  if (model === "demo") return new URL(DEMO_FOLDER, import.meta.url).href;
  return new URL(model, globalThis.document?.baseURI).href;
}
