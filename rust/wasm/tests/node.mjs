// The package in Node. `ANTIPHON_WASM` is its folder, `ANTIPHON_WASM_PARITY` that of the module that runs corpora.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

import { corpus, panics, tampered } from "./parity.mjs";
import { check, equal, tests } from "./suite.mjs";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const place = (name, or) => process.env[name] ?? join(root, or);
const folder = place("ANTIPHON_WASM", "rust/wasm/pkg");
const made = place("ANTIPHON_WASM_PARITY", "target/wasm/parity");

const api = await import(pathToFileURL(join(folder, "node.mjs")));
const parity = await import(pathToFileURL(join(made, "antiphon.js")));
parity.initSync({ module: readFileSync(join(made, "antiphon_bg.wasm")) });

// What the corpus folder has, and else a file of the repository.
const inCorpus = new Set(readdirSync(made));
const load = async (name) => new Uint8Array(readFileSync(inCorpus.has(name) ? join(made, name) : join(root, name)));

for (const { name, run } of tests) test(name, () => run(api, load));

test("the package is whole", () => {
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  equal([manifest.name, manifest.version], ["antiphon-wasm", api.version()]);
  const targets = (entry) => (typeof entry === "string" ? [entry] : Object.values(entry).flatMap(targets));
  const files = [manifest.main, manifest.types, ...targets(manifest.exports)];
  for (const file of files) check(readFileSync(join(folder, file)).length > 0, file);
  check(readFileSync(join(folder, "README.md"), "utf8").startsWith("# "));
  check(!("parityDigests" in api), "the package has nothing that is for tests only");
});

test("every export has its type", () => {
  const types = readFileSync(join(folder, "antiphon.d.ts"), "utf8");
  for (const [name, value] of Object.entries(api)) {
    if (name === "default" || name === "initSync") continue;
    check(types.includes(`export function ${name}(`) || types.includes(`export class ${name} `), name);
    for (const member of Object.getOwnPropertyNames(value.prototype ?? {})) {
      if (member.startsWith("__") || member === "constructor") continue;
      check(new RegExp(`^\\s+(readonly |static )?(\\[Symbol.dispose\\]|${member})[(:]`, "m").test(types), `${name}.${member}`);
    }
  }
  const ours = types.slice(0, types.indexOf("export type InitInput"));
  check(ours.length > 10_000 && !/: any\b/.test(ours), "a type that says nothing");
});

test("the corpus comes to what it does natively", async (context) => {
  context.diagnostic(`figure: ${await corpus(parity, load, "node")}`);
});

test("an expectation that was tampered with is one difference", () => tampered(parity, load));

test("a panic is an error with a place", () => panics(parity));
