// The initialised module: Node reads it from the file next to this one.
import { readFileSync } from "node:fs";
import { initSync } from "./antiphon.js";

const exported = initSync({ module: readFileSync(new URL("./antiphon_bg.wasm", import.meta.url)) });

export * from "./antiphon.js";

// In browsers this fetches the module; here the module is loaded already.
export default async function init() {
  return exported;
}
