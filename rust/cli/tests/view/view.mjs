// Tests `antiphon view` in headless Chromium, in both of its forms. ANTIPHON is the program,
// ANTIPHON_WASM the package's folder; BLESS=1 writes new pictures.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

import { Browser } from "./chromium.mjs";
import { compared, picture } from "./pictures.mjs";
import { HOSTILE, hostile, long, several } from "./recordings.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "../../../..");
const program = process.env.ANTIPHON ?? join(root, "target/debug/antiphon");
const wasm = process.env.ANTIPHON_WASM ?? join(root, "rust/wasm/pkg");
const fixture = join(root, "fixtures/recordings/v1/ping-pong.rec");

const api = await import(pathToFileURL(join(wasm, "antiphon.js")));
api.initSync({ module: readFileSync(join(wasm, "antiphon_bg.wasm")) });

const folder = mkdtempSync(join(tmpdir(), "antiphon-view-test-"));
const servers = [];
let browser;

before(() => {
  browser = new Browser();
});

after(async () => {
  servers.forEach((server) => server.kill("SIGINT"));
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
});

const written = (name, bytes) => {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
};

// The address of the served page.
async function served(recording) {
  const server = spawn(program, ["view", recording, "--no-open", "--package", wasm], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  servers.push(server);
  for await (const line of server.stdout) return String(line).trim();
  throw new Error("the server printed no address");
}

// The address of the page in one file.
async function single(recording) {
  const path = join(folder, `page-${servers.length}-${Math.random().toString(36).slice(2)}.html`);
  execFileSync(program, ["view", recording, "--out", path, "--package", wasm]);
  return pathToFileURL(path).href;
}

const FORMS = { served, "as one file": single };

async function opened(form, recording, options) {
  const page = await browser.open(await form(recording), options);
  await page.until("document.documentElement.dataset.state === 'over'");
  await settled(page);
  return page;
}

// Waits until the page is idle: no request is outstanding, and two checks in a row find the same
// content.
async function settled(page) {
  const content = `JSON.stringify([
    document.documentElement.dataset.step,
    ...["#row", "#roles", "#window"].map((part) => document.querySelector(part).textContent),
    antiphonView.sent,
    antiphonView.outstanding,
  ])`;
  let last;
  for (let same = 0; same < 3;) {
    const now = await page.run(
      `new Promise((done) => setTimeout(() => requestAnimationFrame(() => done(${content})), 20))`,
    );
    same = now === last && now.endsWith(",0]") ? same + 1 : 0;
    last = now;
  }
}

const step = (page) => page.run("Number(document.documentElement.dataset.step)");
const currentState = (page, role) =>
  page.run(`Number(document.querySelector('[data-role="${role}"] [aria-current]').dataset.state)`);
const chosen = (page) => page.run(`document.querySelector("#window .chosen")?.textContent ?? null`);
const rows = (page) =>
  page.run(`[...document.querySelectorAll("#window .row .text")].map((row) => row.textContent)`);

async function key(page, ...keys) {
  for (const one of keys) await page.key(one);
  await settled(page);
}

async function choose(page, selector, value) {
  await page.run(`(() => {
    const field = document.querySelector(${JSON.stringify(selector)});
    field.value = ${JSON.stringify(value)};
    field.dispatchEvent(new Event("change", { bubbles: true }));
  })()`);
  await settled(page);
}

async function done(page) {
  assert.deepEqual(page.errors, []);
  await page.close();
}

for (const [name, form] of Object.entries(FORMS)) {
  test(`${name}: a recording is replayed and its verdict shown`, async () => {
    const page = await opened(form, fixture);
    assert.equal(await page.text("#verdict"), "equal");
    assert.equal(await page.text("#title"), "ping-pong.rec");
    assert.equal(await page.text("#steps"), "22");
    assert.equal(await page.text("#shown"), "37 rows");
    assert.equal(await page.run("document.querySelector('#banner').hidden"), true);
    assert.equal((await rows(page))[0], 'open a session of a299aae50977… for "me"');
    // Each visible row has a mark on the lifelines: there are two lifelines, and an arrow for each
    // message.
    assert.equal(await page.run("document.querySelectorAll('#lifelines .life').length"), 2);
    assert.ok((await page.run("document.querySelectorAll('#lifelines line.arrow').length")) >= 2);
    await done(page);
  });

  test(`${name}: stepping forward and back highlights the current states`, async () => {
    const page = await opened(form, fixture);
    assert.deepEqual(
      [await step(page), await currentState(page, "Client"), await currentState(page, "Server")],
      [0, 0, 0],
    );
    await key(page, ...Array(5).fill("ArrowRight"));
    assert.deepEqual(
      [await step(page), await currentState(page, "Client"), await currentState(page, "Server")],
      [5, 1, 0],
    );
    await key(page, "ArrowRight", "ArrowRight");
    assert.deepEqual(
      [await step(page), await currentState(page, "Client"), await currentState(page, "Server")],
      [7, 1, 1],
    );
    assert.match(await chosen(page), /chose Client -> Server #0: ping 1/);
    await key(page, "ArrowLeft", "ArrowLeft", "ArrowLeft");
    assert.deepEqual(
      [await step(page), await currentState(page, "Client"), await currentState(page, "Server")],
      [4, 0, 0],
    );
    await page.click("#forward");
    await settled(page);
    assert.deepEqual([await step(page), await currentState(page, "Client")], [5, 1]);
    await page.click("#last");
    await settled(page);
    assert.deepEqual(
      [await step(page), await currentState(page, "Client"), await currentState(page, "Server")],
      [22, 2, 2],
    );
    assert.equal(await page.text(".phase"), "closed");
    await page.click("#first");
    await settled(page);
    assert.deepEqual([await step(page), await currentState(page, "Client")], [0, 0]);
    await done(page);
  });
}

test("an effect shows its arguments and its answer", async () => {
  const page = await opened(served, fixture);
  await key(page, "j", "j");
  assert.match(await chosen(page), /Client asks host.decide ping\|stop to Server/);
  const shown = await page.text("#row");
  assert.match(shown, /answer ping \| stopping/);
  assert.match(shown, /rows of this effect: issued \(row 2\) answer \(row 4\) ended \(row 5\)/);
  await page.click("#row .links button:nth-of-type(2)");
  await settled(page);
  assert.match(await chosen(page), /0\.0 answered: ping/);
  await done(page);
});

test("search finds the next and the previous match, and reports no match", async () => {
  const page = await opened(served, fixture);
  await key(page, "/");
  await page.type("pong 1");
  await page.until("document.querySelector('#found').textContent !== ''");
  await settled(page);
  assert.match(await chosen(page), /sent Server -> Client #0: pong 1/);
  await key(page, "Enter");
  assert.match(await chosen(page), /received Server -> Client #0: pong 1/);
  await key(page, "Escape", "n");
  assert.match(await chosen(page), /sent Server -> Client #0: pong 1/);
  assert.match(await page.text("#found"), /17 of 37, from the start/);
  await key(page, "N");
  assert.match(await chosen(page), /received Server -> Client #0: pong 1/);
  assert.equal(
    await page.run("document.querySelector('#window .chosen mark').textContent"),
    "pong 1",
  );
  await page.click("#only");
  await settled(page);
  assert.equal((await rows(page)).length, 2);
  assert.equal(await page.text("#shown"), "2 of 37 rows");
  await page.click("#only");
  await key(page, "/", "Backspace");
  await page.type("nowhere");
  await page.until("document.querySelector('#found').textContent === 'not found'");
  await done(page);
});

test("filters by session, role and kind apply to rows and lifelines", async () => {
  const page = await opened(served, written("several.rec", several(api)));
  const lanes = () =>
    page.run(`[...document.querySelectorAll("#lane-heads .lane")].map((lane) => lane.textContent)`);
  const sessions = () =>
    page.run(
      `[...new Set(
        [...document.querySelectorAll("#window .row .session")].map((cell) => cell.textContent),
      )]`,
    );
  assert.match(await page.text("#facts"), /^3 sessions/);
  assert.deepEqual((await lanes()).sort(), ["Client", "Guest", "Host", "Server"]);
  const all = Number.parseInt(await page.text("#shown"), 10);
  await choose(page, "#session", "1");
  assert.deepEqual(await sessions(), ["1"]);
  assert.deepEqual(await lanes(), ["Guest", "Host"]);
  assert.match(await page.text("#session-name"), /Greet session 1/);
  assert.ok((await rows(page)).some((row) => row.includes('welcome "welcome said"')));
  await choose(page, "#session", "");
  await choose(page, "#role", "Host");
  assert.ok((await rows(page)).length > 5);
  assert.deepEqual(await sessions(), ["1"], "Host is in one session only");
  await choose(page, "#role", "");
  assert.equal(Number.parseInt(await page.text("#shown"), 10), all);
  for (const n of [2, 3, 4, 5, 6]) await page.click(`#kinds label:nth-child(${n}) input`);
  await settled(page);
  assert.ok((await rows(page)).every((row) => /^(sent|offered) /.test(row)));
  await page.click("#clear");
  await settled(page);
  assert.equal(await page.text("#shown"), `${all} rows`);
  // A link to a row that the filter hides shows everything.
  for (const n of [3, 4, 5, 6]) await page.click(`#kinds label:nth-child(${n}) input`);
  await choose(page, "#session", "1");
  for (const n of [1, 2, 3]) await page.click(`#kinds label:nth-child(${n}) input`);
  await settled(page);
  await key(page, "Escape", "End");
  assert.match(await chosen(page), /effect 3 resolved/);
  await page.click("#row .links button:nth-of-type(2)");
  await settled(page);
  assert.match(await chosen(page), /1\.3 .* asks/);
  assert.equal(await page.text("#shown"), `${all} rows`);
  await done(page);
});

test("each kind of row belongs to one box of the filter", async () => {
  const declared = readFileSync(join(wasm, "antiphon.d.ts"), "utf8");
  const [, union] = /export type RowKind =([^;]*);/.exec(declared);
  const kinds = [...union.matchAll(/"(\w+)"/g)].map(([, name]) => name);
  const page = await opened(served, fixture);
  assert.deepEqual((await page.run("antiphonView.kinds")).sort(), kinds.sort());
});

test("every control works with the keyboard alone", async () => {
  const page = await opened(served, fixture);
  const focused = () => page.run("document.activeElement.id");
  assert.equal(await focused(), "list");
  await key(page, "j", "ArrowDown", "k");
  assert.match(await chosen(page), /effect 0 of coroutine 0/);
  const active = await page.run(
    "document.querySelector('#list').getAttribute('aria-activedescendant')",
  );
  assert.equal(
    await page.run(`document.getElementById('${active}').getAttribute('aria-selected')`),
    "true",
  );
  await key(page, "End");
  assert.match(await chosen(page), /epoch 1/);
  assert.equal(await step(page), 22);
  await key(page, "PageUp");
  assert.ok(!/epoch 1/.test(await chosen(page)));
  await key(page, "Home");
  assert.match(await chosen(page), /open a session/);
  await key(page, "s");
  assert.equal(await focused(), "step");
  await key(page, "1", "2", "Enter");
  assert.equal(await step(page), 12);
  await key(page, "Escape", "$");
  assert.equal(await step(page), 22);
  await key(page, "0");
  assert.equal(await step(page), 0);
  assert.match(await page.text("#live"), /^step 0/);
  await key(page, "?");
  assert.equal(await page.run("document.querySelector('#help').open"), true);
  await key(page, "Escape");
  assert.equal(await page.run("document.querySelector('#help').open"), false);
  const dark = await page.run("document.documentElement.dataset.theme");
  await key(page, "Escape", "t");
  assert.notEqual(await page.run("document.documentElement.dataset.theme"), dark);
  // Tab reaches every control, and the focus is visible.
  const met = new Set();
  for (let n = 0; n < 40; n += 1) {
    await page.key("Tab");
    met.add(await focused());
    const seen = await page.run(
      `document.activeElement === document.body ||
        getComputedStyle(document.activeElement).outlineStyle !== "none"`,
    );
    assert.ok(seen, await focused());
  }
  for (const id of [
    "theme",
    "first",
    "back",
    "forward",
    "last",
    "step",
    "scrub",
    "search",
    "only",
    "session",
    "role",
    "list",
  ]) {
    assert.ok(met.has(id), `${id} is not reached; ${[...met]}`);
  }
  await done(page);
});

for (const [name, form] of Object.entries(FORMS)) {
  test(`${name}: a changed byte is shown as damage, with its place`, async () => {
    const bytes = readFileSync(fixture);
    const bent = Uint8Array.from(bytes);
    const at = bytes.length - 200;
    bent[at] ^= 0x40;
    const page = await opened(form, written("bent.rec", bent));
    assert.equal(await page.text("#verdict"), "damaged");
    const shown = await page.text("#banner");
    const [, record, from, to] =
      /damaged at record (\d+).*Bytes (\d+) to (\d+): /.exec(shown) ?? assert.fail(shown);
    assert.ok(Number(record) > 0 && Number(from) <= at && at < Number(to), shown);
    // The part before the damage is shown, and the timeline has a mark at its end.
    const steps = Number(await page.text("#steps"));
    assert.ok(steps > 0 && steps < 22, `${steps}`);
    assert.match(
      await page.text("#density .problem title"),
      new RegExp(`problem at step ${steps}$`),
    );
    await page.click("#banner button");
    await settled(page);
    assert.equal(await step(page), steps);
    await done(page);
  });
}

test("a divergence is shown with its place, and the expected and actual values", async () => {
  const page = await opened(served, join(here, "diverges.rec"));
  assert.equal(await page.text("#verdict"), "diverges");
  const shown = await page.text("#banner");
  assert.match(shown, /The replay differs from the recording at entry \d+, step \d+/);
  const cells = await page.run(
    `[...document.querySelectorAll("#banner .compare tr:nth-child(2) code")].map(
      (cell) => cell.textContent,
    )`,
  );
  assert.equal(cells.length, 2);
  assert.notEqual(cells[0], cells[1]);
  assert.equal(await page.run("document.querySelectorAll('#density .problem').length"), 1);
  await done(page);
});

test("a file that is not a recording, and one that is cut off, are reported", async () => {
  const none = await browser.open(
    await served(written("none.rec", "this is not a recording at all")),
  );
  await none.until("document.querySelector('#verdict').textContent === 'unreadable'");
  assert.match(await none.text("#banner"), /cannot be shown.*byte 0/);
  await none.close();
  const cut = await opened(served, written("cut.rec", readFileSync(fixture).subarray(0, 700)));
  assert.equal(await cut.text("#verdict"), "cut off");
  assert.match(await cut.text("#banner"), /ends too early/);
  await done(cut);
});

for (const [name, form] of Object.entries(FORMS)) {
  test(`${name}: the content of a recording is inserted only as text, and in full`, async () => {
    const page = await opened(
      form,
      written(`${"<b>hostile</b>".replace("/", "_")}.rec`, hostile(api)),
    );
    assert.match(await page.text("#meta"), /<img src=x onerror/);
    await key(page, "/");
    await page.type("sent ");
    await page.until("document.querySelector('#found').textContent !== ''");
    await settled(page);
    assert.match(await page.text("#row .value"), /^"<\/script><img src=x/);
    assert.ok((await page.text("#row .value")).includes(HOSTILE.slice(0, 20)));
    await key(page, "Enter");
    const value = await page.text("#row .value");
    assert.ok(value.length > 5000 && value.endsWith('long end"'), `${value.length}`);
    assert.equal(
      await page.run(
        "document.querySelectorAll('img, iframe, b:not(.role b, h2 b, #machine b)').length",
      ),
      0,
    );
    assert.equal(await page.run("window.hostile ?? null"), null);
    const odd = await page.run(
      `["header", "main"].some((part) =>
        /[\\u202a-\\u202e\\u2066-\\u2069\\u0007]/.test(document.querySelector(part).textContent),
      )`,
    );
    assert.equal(odd, false);
    // Injected code cannot run, because the page's policy refuses it.
    await page.run(
      `(() => {
        const script = document.createElement("script");
        script.textContent = "window.hostile = 2";
        document.body.append(script);
      })()`,
    );
    assert.equal(await page.run("window.hostile ?? null"), null);
    assert.match(page.errors.pop(), /Content Security Policy/);
    await done(page);
  });
}

test("a million rows: each is shown with few requests and few elements", async (context) => {
  const began = Date.now();
  const page = await opened(served, written("long.rec", long(api, 1_000_000)));
  const loaded = Date.now() - began;
  const total = Number((await page.text("#shown")).replace(/\D/g, ""));
  assert.ok(total >= 1_000_000, `${total} rows`);
  const sent = () => page.run("antiphonView.sent");
  const few = async (what) => {
    assert.ok((await page.run("document.querySelectorAll('#window .row').length")) < 100, what);
    assert.ok((await page.run("document.querySelectorAll('*').length")) < 1500, what);
    assert.equal(await page.run("document.querySelectorAll('#window .waiting').length"), 0, what);
  };
  let before = await sent();
  await key(page, "End");
  assert.match(await chosen(page), /epoch 1/);
  assert.equal((await rows(page)).at(-1), "epoch 1");
  assert.ok((await sent()) - before <= 6, `${(await sent()) - before} messages to the end`);
  await few("the end");

  // Drag the scrollbar to several positions: each has rows.
  before = await sent();
  for (const share of [0.25, 0.5, 0.75, 0]) {
    await page.run(
      `(() => {
        const list = document.querySelector("#list");
        list.scrollTop = (list.scrollHeight - list.clientHeight) * ${share};
      })()`,
    );
    await settled(page);
    const first = await page.run("Number(document.querySelector('#window .row').dataset.place)");
    assert.ok(Math.abs(first - share * total) < 100, `${first} at ${share} of ${total}`);
    await few(`at ${share}`);
  }
  assert.ok((await sent()) - before <= 8, `${(await sent()) - before} messages for four places`);

  // The wheel moves by rows at any scale of the scrollbar.
  await page.wheel(400, 400, 260);
  await settled(page);
  assert.equal(await page.run("Number(document.querySelector('#window .row').dataset.place)"), 10);

  // Scrolling over many rows requests only a few.
  before = await sent();
  await page.run(`new Promise((done) => {
    const list = document.querySelector("#list");
    let n = 0;
    const on = () => (n += 1, list.scrollTop += 12345, n < 60 ? requestAnimationFrame(on) : done());
    on();
  })`);
  await settled(page);
  assert.ok((await sent()) - before <= 62, `${(await sent()) - before} messages`);
  await few("after scrolling");

  await key(page, "s");
  await page.type("300000");
  await key(page, "Enter");
  assert.equal(await step(page), 300_000);
  await key(page, "Escape", "/");
  await page.type("pong number 43000");
  await page.until("document.querySelector('#found').textContent.includes(' of ')");
  await settled(page);
  assert.match(await chosen(page), /pong number 43000/);
  context.diagnostic(
    `figure: ${total} rows, made, loaded and replayed in ${(loaded / 1000).toFixed(1)} s`,
  );
  await done(page);
});

// Fonts and their rendering differ between machines. So pictures are compared by the mean colour of
// squares of 20 pixels: this covers the position and colour of panels, rows, bars and drawings, but
// not letters.
for (const [width, height] of [
  [1280, 800],
  [800, 600],
]) {
  for (const dark of [false, true]) {
    const name = `${dark ? "dark" : "light"}-${width}x${height}`;
    test(`${name}: the page matches the stored picture`, async () => {
      const page = await opened(single, join(root, "fixtures/parity/recordings/exec.rec"), {
        width,
        height,
        dark,
      });
      await key(page, ...Array(12).fill("ArrowRight"));
      const shot = await page.screenshot();
      const [got, plain] = await picture(page, shot);
      await done(page);
      const path = join(here, "expected", `${name}.png`);
      if (process.env.BLESS) {
        mkdirSync(join(here, "expected"), { recursive: true });
        writeFileSync(path, got);
      }
      if (process.env.ANTIPHON_SHOTS)
        writeFileSync(join(process.env.ANTIPHON_SHOTS, `${name}.png`), shot);
      const blank = await browser.open("about:blank");
      const { mean, far } = await compared(blank, got, readFileSync(path));
      assert.ok(
        mean < 6 && far < 0.06,
        `mean difference ${mean.toFixed(2)}, squares that differ ${(100 * far).toFixed(1)} %`,
      );
      // The comparison must notice the other colours, and a page without rows.
      const other = await compared(
        blank,
        got,
        readFileSync(join(here, "expected", `${dark ? "light" : "dark"}-${width}x${height}.png`)),
      );
      assert.ok(other.mean > 40, `${other.mean}`);
      const empty = await compared(blank, got, plain);
      assert.ok(empty.mean >= 6 || empty.far >= 0.06, `${empty.mean}, ${empty.far}`);
      await blank.close();
    });
  }
}
