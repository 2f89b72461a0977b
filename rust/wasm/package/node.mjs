// The module, ready to be used: Node reads it from the file beside this one.
import { readFileSync } from "node:fs";
import { initSync } from "./antiphon.js";

const exported = initSync({ module: readFileSync(new URL("./antiphon_bg.wasm", import.meta.url)) });

export * from "./antiphon.js";

// In browsers the module is fetched by a call of this; here it is there already.
export default async function init() {
  return exported;
}
