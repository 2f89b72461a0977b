// Runs the tests in a page; each line of TAP is posted to the server of the page.
import { corpus, panics, tampered } from "./parity.mjs";
import { tests } from "./suite.mjs";

const send = (what) => fetch("/report", { method: "POST", body: JSON.stringify(what) });
let passed = 0;
let failed = 0;

async function test(name, run) {
  let figure;
  try {
    figure = await run();
    passed += 1;
    await send({ line: `ok ${passed + failed} - ${name}` });
  } catch (error) {
    failed += 1;
    await send({
      line: `not ok ${passed + failed} - ${name}\n${error?.stack ?? error}\n${error?.message}`,
    });
  }
  if (figure !== undefined) await send({ line: `# figure: ${figure}` });
}

const fetched = async (path) => {
  const response = await fetch(path);
  return response.ok ? new Uint8Array(await response.arrayBuffer()) : undefined;
};
const load = async (name) =>
  name.includes("/") ? fetched(`/root/${name}`) : fetched(`/parity/${encodeURIComponent(name)}`);

try {
  const api = await import("/pkg/antiphon.js");
  await api.default();
  for (const { name, run } of tests) await test(name, () => run(api, load));
  const parity = await import("/parity/antiphon.js");
  await parity.default();
  await test("the corpus gives the same results as natively", () =>
    corpus(parity, load, "chromium"));
  await test("a changed expectation is reported as one difference", () => tampered(parity, load));
  await test("a panic is an error with a place", () => panics(parity));
} catch (error) {
  failed += 1;
  await send({ line: `not ok - the page\n${error?.stack ?? error}` });
}
await send({ line: `# pass ${passed}\n# fail ${failed}` });
await send({ failed });
