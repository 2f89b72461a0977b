// Drives headless Chromium through its DevTools protocol over two pipes. This needs no packages.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-sync",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-dev-shm-usage",
  "--hide-scrollbars=false",
  "--force-device-scale-factor=1",
  "--remote-debugging-pipe",
  "about:blank",
];

// The longest wait for a condition. It allows for a very slow machine.
const TIMEOUT_MS = 120_000;

const program = () => {
  const found = ["chromium", "chromium-browser", "google-chrome"]
    .flatMap((name) => process.env.PATH.split(":").map((folder) => join(folder, name)))
    .find(existsSync);
  if (found === undefined)
    throw new Error("there is no Chromium on the path; `cargo xtask setup` installs it");
  return found;
};

export class Browser {
  #waiting = new Map();
  #next = 1;
  #listeners = new Set();

  constructor() {
    this.profile = mkdtempSync(join(tmpdir(), "antiphon-view-"));
    this.child = spawn(program(), [`--user-data-dir=${this.profile}`, ...FLAGS], {
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
    });
    let rest = "";
    const decoder = new TextDecoder();
    this.child.stdio[4].on("data", (bytes) => {
      const texts = (rest + decoder.decode(bytes, { stream: true })).split("\0");
      rest = texts.pop();
      texts.forEach((text) => this.#onMessage(JSON.parse(text)));
    });
    this.child.stdio[3].on("error", () => {});
    this.child.on("exit", (code) => {
      for (const { reject } of this.#waiting.values())
        reject(new Error(`Chromium exited with ${code}`));
    });
  }

  #onMessage(message) {
    if (message.id === undefined) return this.#listeners.forEach((listen) => listen(message));
    const { resolve, reject } = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.error === undefined) resolve(message.result);
    else reject(new Error(message.error.message));
  }

  send(method, params = {}, sessionId = undefined) {
    const id = this.#next;
    this.#next += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  async open(url, { width = 1280, height = 800, dark = false } = {}) {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, targetId, sessionId);
    this.#listeners.add((message) => page.onMessage(message));
    for (const domain of ["Page", "Runtime", "Log"]) await page.send(`${domain}.enable`);
    await page.send("Emulation.setDeviceMetricsOverride", {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: false,
    });
    await page.scheme(dark);
    await page.send("Page.navigate", { url });
    return page;
  }

  async close() {
    const exited = new Promise((resolve) => this.child.on("exit", resolve));
    this.send("Browser.close").catch(() => {});
    const killTimer = setTimeout(() => this.child.kill("SIGKILL"), 10_000);
    await exited;
    clearTimeout(killTimer);
    // Its helper processes may still write while they exit.
    for (let tries = 0; existsSync(this.profile); tries += 1) {
      try {
        rmSync(this.profile, { recursive: true, force: true });
      } catch (error) {
        if (tries === 50) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }
}

const KEYS = {
  ArrowDown: 40,
  ArrowUp: 38,
  ArrowLeft: 37,
  ArrowRight: 39,
  PageDown: 34,
  PageUp: 33,
  Home: 36,
  End: 35,
  Enter: 13,
  Escape: 27,
  Tab: 9,
  Backspace: 8,
  " ": 32,
};

class Page {
  /** The uncaught exceptions and console errors of the page. */
  errors = [];

  constructor(browser, targetId, sessionId) {
    Object.assign(this, { browser, targetId, sessionId });
  }

  onMessage({ sessionId, method, params }) {
    if (sessionId !== this.sessionId) return;
    if (method === "Runtime.exceptionThrown") {
      this.errors.push(
        params.exceptionDetails.exception?.description ?? params.exceptionDetails.text,
      );
    }
    if (method === "Log.entryAdded" && params.entry.level === "error")
      this.errors.push(params.entry.text);
    if (method === "Runtime.consoleAPICalled" && params.type === "error") {
      this.errors.push(params.args.map(({ value, description }) => value ?? description).join(" "));
    }
  }

  send(method, params) {
    return this.browser.send(method, params, this.sessionId);
  }

  scheme(dark) {
    return this.send("Emulation.setEmulatedMedia", {
      features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }],
    });
  }

  /** Evaluates an expression in the page and returns its value as data. */
  async run(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
    });
    if (exceptionDetails)
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Waits until an expression is true in the page. */
  async until(expression, what = expression) {
    const end = Date.now() + TIMEOUT_MS;
    for (;;) {
      if (await this.run(`Boolean(${expression})`).catch(() => false)) return;
      if (Date.now() > end)
        throw new Error(`timed out waiting for ${what}; errors of the page: ${this.errors}`);
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
  }

  text(selector) {
    return this.run(`document.querySelector(${JSON.stringify(selector)})?.textContent ?? null`);
  }

  async key(key, { shift = false } = {}) {
    const text = key.length === 1 ? key : key === "Enter" ? "\r" : undefined;
    const code = KEYS[key] ?? key.toUpperCase().charCodeAt(0);
    const event = { key, windowsVirtualKeyCode: code, modifiers: shift ? 8 : 0 };
    await this.send("Input.dispatchKeyEvent", {
      type: text === undefined ? "rawKeyDown" : "keyDown",
      text,
      ...event,
    });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
  }

  async type(text) {
    for (const letter of text) await this.key(letter);
  }

  async click(selector) {
    const at = await this.run(`(() => {
      const element = document.querySelector(${JSON.stringify(selector)});
      element.scrollIntoView({ block: "nearest" });
      const { x, y, width, height } = element.getBoundingClientRect();
      return { x: x + width / 2, y: y + height / 2 };
    })()`);
    for (const type of ["mousePressed", "mouseReleased"]) {
      await this.send("Input.dispatchMouseEvent", { type, ...at, button: "left", clickCount: 1 });
    }
  }

  wheel(x, y, deltaY) {
    return this.send("Input.dispatchMouseEvent", { type: "mouseWheel", x, y, deltaX: 0, deltaY });
  }

  async screenshot() {
    const { data } = await this.send("Page.captureScreenshot", { format: "png" });
    return Buffer.from(data, "base64");
  }

  close() {
    return this.browser.send("Target.closeTarget", { targetId: this.targetId });
  }
}
