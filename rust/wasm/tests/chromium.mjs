// The package in headless Chromium: a page is served that runs the same tests and sends back what they came to.
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const place = (name, or) => process.env[name] ?? join(root, or);
const folders = {
  pkg: place("ANTIPHON_WASM", "rust/wasm/pkg"),
  parity: place("ANTIPHON_WASM_PARITY", "target/wasm/parity"),
  root,
};
const types = { html: "text/html", js: "text/javascript", mjs: "text/javascript", wasm: "application/wasm" };

const program = ["chromium", "chromium-browser", "google-chrome"]
  .flatMap((name) => process.env.PATH.split(":").map((folder) => join(folder, name)))
  .find(existsSync);
if (program === undefined) {
  console.log("there is no Chromium on the path; `cargo xtask setup` installs it");
  process.exit(1);
}

const profile = mkdtempSync(join(tmpdir(), "antiphon-chromium-"));
let browser;
let over = false;

// Ends the browser with all its processes, and then this program.
function end(code) {
  if (over) return;
  over = true;
  server.close();
  browser.once("exit", () => sweep(code, 50));
  process.kill(-browser.pid, "SIGKILL");
}

// The last of the browser's processes may still write for a moment.
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

// One line at a time as the page sends them, and the end.
function told(text) {
  const { line, failed } = JSON.parse(text);
  if (line !== undefined) console.log(line);
  if (failed !== undefined) end(failed === 0 ? 0 : 1);
}

function serve(request, response) {
  const { pathname } = new URL(request.url, "http://localhost");
  if (request.method === "POST") {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => (response.end(), told(Buffer.concat(parts).toString())));
    return;
  }
  const path = pathname === "/" ? "/root/rust/wasm/tests/page.html" : decodeURIComponent(pathname);
  const [, folder, ...rest] = normalize(path).split("/");
  const file = folders[folder] && join(folders[folder], ...rest);
  if (!file || !existsSync(file)) return response.writeHead(404).end();
  // As strict as a page can be made that has a module in it: no evaluation of texts.
  response.writeHead(200, {
    "content-type": types[file.split(".").pop()] ?? "application/octet-stream",
    "content-security-policy": "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'",
  });
  response.end(readFileSync(file));
}

const server = createServer(serve);
server.listen(0, "127.0.0.1", () => {
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", `--user-data-dir=${profile}`];
  browser = spawn(program, [...flags, `http://127.0.0.1:${server.address().port}/`], { stdio: ["ignore", "ignore", "pipe"], detached: true });
  const said = [];
  browser.stderr.on("data", (text) => said.push(text));
  browser.on("exit", (code) => {
    if (over) return;
    console.log(`Chromium ended by itself, with ${code}\n${Buffer.concat(said)}`);
    sweep(1, 0);
  });
  browser.on("error", (error) => {
    console.log(`Chromium cannot be started: ${error.message}`);
    process.exit(1);
  });
});
