// Runs the package's tests in headless Chromium: serves a page that runs them and posts back the
// results.
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const folder = (name, or) => process.env[name] ?? join(root, or);
const folders = {
  pkg: folder("ANTIPHON_WASM", "rust/wasm/pkg"),
  parity: folder("ANTIPHON_WASM_PARITY", "target/wasm/parity"),
  root,
};
const types = {
  html: "text/html",
  js: "text/javascript",
  mjs: "text/javascript",
  wasm: "application/wasm",
};

const program = ["chromium", "chromium-browser", "google-chrome"]
  .flatMap((name) => process.env.PATH.split(":").map((folder) => join(folder, name)))
  .find(existsSync);
if (program === undefined) {
  console.log("Chromium is not on the PATH; `cargo xtask setup` installs it");
  process.exit(1);
}

const profile = mkdtempSync(join(tmpdir(), "antiphon-chromium-"));
let browser;
let over = false;

// Kills the browser with all its processes, then ends this program.
function end(code) {
  if (over) return;
  over = true;
  server.close();
  browser.once("exit", () => sweep(code, 50));
  process.kill(-browser.pid, "SIGKILL");
}

// The browser's last processes may still write to the profile, so the removal is retried.
function sweep(code, tries) {
  try {
    rmSync(profile, { recursive: true, force: true });
  } catch (error) {
    if (tries === 0) throw error;
    return setTimeout(sweep, 100, code, tries - 1);
  }
  process.exit(code);
}

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => end(1));

// Handles a message of the page: a line of output, or the number of failed tests at the end.
function report(text) {
  const { line, failed } = JSON.parse(text);
  if (line !== undefined) console.log(line);
  if (failed !== undefined) end(failed === 0 ? 0 : 1);
}

function serve(request, response) {
  const { pathname } = new URL(request.url, "http://localhost");
  if (request.method === "POST") {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => (response.end(), report(Buffer.concat(parts).toString())));
    return;
  }
  const path = pathname === "/" ? "/root/rust/wasm/tests/page.html" : decodeURIComponent(pathname);
  const [, folder, ...rest] = normalize(path).split("/");
  const file = folders[folder] && join(folders[folder], ...rest);
  if (!file || !existsSync(file)) return response.writeHead(404).end();
  // The strictest policy under which a WebAssembly module can run: no evaluation of text.
  response.writeHead(200, {
    "content-type": types[file.split(".").pop()] ?? "application/octet-stream",
    "content-security-policy": "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'",
  });
  response.end(readFileSync(file));
}

const server = createServer(serve);
server.listen(0, "127.0.0.1", () => {
  const flags = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    `--user-data-dir=${profile}`,
  ];
  browser = spawn(program, [...flags, `http://127.0.0.1:${server.address().port}/`], {
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
  });
  const stderr = [];
  browser.stderr.on("data", (text) => stderr.push(text));
  browser.on("exit", (code) => {
    if (over) return;
    console.log(`Chromium exited unexpectedly with ${code}\n${Buffer.concat(stderr)}`);
    sweep(1, 0);
  });
  browser.on("error", (error) => {
    console.log(`Chromium could not be started: ${error.message}`);
    process.exit(1);
  });
});
