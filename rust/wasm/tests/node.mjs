// Runs the package's tests in Node. `ANTIPHON_WASM` is the package's folder,
// `ANTIPHON_WASM_PARITY` the folder of the module that runs the parity corpus.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

import { corpus, panics, tampered } from "./parity.mjs";
import { check, equal, tests } from "./suite.mjs";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const folderOf = (name, or) => process.env[name] ?? join(root, or);
const folder = folderOf("ANTIPHON_WASM", "rust/wasm/pkg");
const parityFolder = folderOf("ANTIPHON_WASM_PARITY", "target/wasm/parity");

const api = await import(pathToFileURL(join(folder, "node.mjs")));
const parity = await import(pathToFileURL(join(parityFolder, "antiphon.js")));
parity.initSync({ module: readFileSync(join(parityFolder, "antiphon_bg.wasm")) });

// Files come from the corpus folder if it has them, else from the repository.
const inCorpus = new Set(readdirSync(parityFolder));
const load = async (name) =>
  new Uint8Array(readFileSync(inCorpus.has(name) ? join(parityFolder, name) : join(root, name)));

for (const { name, run } of tests) test(name, () => run(api, load));

test("the package is complete", () => {
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  equal([manifest.name, manifest.version], ["antiphon-wasm", api.version()]);
  const targets = (entry) =>
    typeof entry === "string" ? [entry] : Object.values(entry).flatMap(targets);
  const files = [manifest.main, manifest.types, ...targets(manifest.exports)];
  for (const file of files) check(readFileSync(join(folder, file)).length > 0, file);
  check(readFileSync(join(folder, "README.md"), "utf8").startsWith("# "));
  check(!("parityDigests" in api), "the package exports nothing that is only for tests");
});

test("every export has a type", () => {
  const types = readFileSync(join(folder, "antiphon.d.ts"), "utf8");
  for (const [name, value] of Object.entries(api)) {
    if (name === "default" || name === "initSync") continue;
    check(
      types.includes(`export function ${name}(`) || types.includes(`export class ${name} `),
      name,
    );
    for (const member of Object.getOwnPropertyNames(value.prototype ?? {})) {
      if (member.startsWith("__") || member === "constructor") continue;
      check(
        new RegExp(`^\\s+(readonly |static )?(\\[Symbol.dispose\\]|${member})[(:]`, "m").test(
          types,
        ),
        `${name}.${member}`,
      );
    }
  }
  const ours = types.slice(0, types.indexOf("export type InitInput"));
  check(ours.length > 10_000 && !/: any\b/.test(ours), "no type is `any`");
});

test("the corpus gives the same results as natively", async (context) => {
  context.diagnostic(`figure: ${await corpus(parity, load, "node")}`);
});

test("a changed expectation is reported as one difference", () => tampered(parity, load));

test("a panic is an error with a place", () => panics(parity));
