// The page of a replay. Its state is the position in the replay, the selected row and the filter.
import { arrowHeads, automata } from "./automata.js";
import { machineDetail, rowDetail, kindName } from "./detail.js";
import { byId, clean, count, make, marked } from "./dom.js";
import { Latest, Link } from "./link.js";
import { List } from "./list.js";
import { Sequence, severity } from "./sequence.js";
import { PARTS, Timeline } from "./timeline.js";
import { omittedRows, unreadable, verdict } from "./verdict.js";

const KIND_GROUPS = [
  { name: "messages", kinds: ["sent", "offered"] },
  { name: "receipts", kinds: ["received", "chose"] },
  { name: "effects", kinds: ["effect_issued", "effect_resolved", "witness_issued"] },
  { name: "world", kinds: ["request", "input"] },
  {
    name: "trouble",
    kinds: [
      "effect_failed",
      "effect_invalidated",
      "witness_expired",
      "timeout_issued",
      "cancellation_requested",
      "cancelled",
      "failure_branch_entered",
      "faulted",
      "refused",
    ],
  },
  {
    name: "sessions",
    kinds: ["opened", "spawned", "halted", "closed", "session_terminal", "epoch_advanced"],
  },
];

const parts = JSON.parse(byId("parts").textContent);
const filter = {};
const enabledGroups = new Set(KIND_GROUPS);
let images = [];
// The images whose roles have lifelines.
let lanesOf = null;
// The position in the replay, with the row and the session there, as the worker's `seek` answers.
let current = { step: 0, place: -1, row: null, session: null };
let progress = { steps: 0, rows: 0, over: false };
let failed = false;
let found = null;

// Starts the worker. Returns it and the sources of its data: addresses on the server, or texts in
// the page.
function startWorker() {
  const block = (id) => byId(id).textContent;
  if (parts.served) {
    const address = (name) => new URL(name, document.baseURI).href;
    return {
      worker: new Worker(address("worker.js")),
      open: {
        script: { url: address("antiphon.js") },
        wasm: { url: address("antiphon_bg.wasm") },
        recording: { url: address("recording") },
      },
    };
  }
  const script = URL.createObjectURL(new Blob([parts.worker], { type: "text/javascript" }));
  return {
    worker: new Worker(script),
    open: {
      script: { text: parts.package },
      wasm: { base64: block("wasm") },
      recording: { base64: block("recording") },
    },
  };
}

const { worker, open } = startWorker();
const link = new Link(worker, onWorkerEvent);
const timeline = new Timeline({
  range: byId("scrub"),
  svg: byId("density"),
  onStep: (step) => go({ step }),
});
const sequence = new Sequence(byId("lifelines"), byId("lane-heads"));
const list = new List({
  scroller: byId("list"),
  space: byId("space"),
  pane: byId("pane"),
  window: byId("window"),
  rowsOf: (from, to) => link.ask("rows", { from, to, filter }),
  rowElement,
  afterDraw,
  onChoose: (place) => go({ place, reveal: false }),
});
const search = byId("search");

// ---- Messages from the worker ----

function onWorkerEvent({ event, progress: now, error }) {
  if (event === "failed") return fail(error);
  progress = now;
  showProgress();
  if (now.over) showFindings();
}

function fail(error) {
  failed = true;
  showVerdict("bad", "unreadable", unreadable(error));
}

function showVerdict(className, word, banner) {
  const badge = byId("verdict");
  badge.className = `badge ${className}`;
  badge.textContent = word;
  const place = byId("banner");
  place.hidden = banner === null;
  place.className = className;
  place.replaceChildren(...(banner ?? []));
}

// Updates the number of rows under the filter while the replay grows.
const rowCounter = new Latest(async () => {
  const { total } = await link.ask("rows", { from: 0, to: 0, filter });
  list.resize(total);
  showRowCount();
});

function showProgress() {
  timeline.setSteps(progress.steps);
  byId("steps").textContent = count(progress.steps);
  byId("step").max = progress.steps;
  rowCounter.request(true);
  if (!progress.over) showVerdict("", `replaying, ${count(progress.steps)} steps`, null);
}

async function showFindings() {
  const findings = await link.ask("findings");
  await loadImages();
  const result = verdict(findings, (step) => go({ step }));
  // While the replay runs, the badge shows a count, which a screen reader should not announce.
  byId("verdict").setAttribute("role", "status");
  const omitted = omittedRows(findings);
  const className = omitted !== null && result.severity === "good" ? "odd" : result.severity;
  showVerdict(
    className,
    result.word,
    omitted === null ? result.banner : [...(result.banner ?? []), ...omitted],
  );
  timeline.markProblem(result.step);
  density.request(true);
  document.documentElement.dataset.sessions = findings.sessions > 1 ? "many" : "one";
  const ends = Object.entries(findings.ends ?? {}).map(
    ([end, number]) => `${count(number)} ${end}`,
  );
  byId("facts").textContent =
    `${count(findings.sessions)} session${findings.sessions === 1 ? "" : "s"} ` +
    `(${ends.join(", ") || "none ended"}) · ` +
    `${count(findings.entries)} entries · clock ${count(findings.clock)}`;
  document.documentElement.dataset.state = "over";
  // An earlier view may have been shown without its image.
  go({ by: 0, reveal: false });
}

async function loadImages() {
  images = await link.ask("images");
  const roles = [...new Set(images.flatMap((image) => image.roles.map(({ name }) => name)))];
  const chooser = byId("role");
  const before = chooser.value;
  chooser.replaceChildren(
    make("option", "", "all roles"),
    ...roles.map((name) => {
      const option = make("option", "", clean(name));
      option.value = name;
      return option;
    }),
  );
  chooser.firstChild.value = "";
  chooser.value = before;
  updateLanes(true);
}

const density = new Latest(async () => {
  const { counts } = await link.ask("density", {
    parts: Math.max(1, Math.min(PARTS, progress.steps)),
    filter,
  });
  timeline.density(counts);
});

// ---- Navigation ----

const navigation = new Latest(async ({ reveal, ...where }) => {
  current = await link.ask("seek", { ...where, filter, session: current.session?.session });
  if (!navigation.pending) list.choose(current.place, reveal);
  show();
});

function go(where) {
  if (failed) return;
  // Relative steps add up from their starting point.
  navigation.request({ reveal: true, ...where }, (before, after) =>
    after.by === undefined ? after : { ...before, ...after, by: (before.by ?? 0) + after.by },
  );
}

// The place of the row that is selected or will be. While a key is held, each repetition continues
// from here.
let target = -1;

function selectRow(to) {
  if (list.total === 0) return;
  const place = Math.max(0, Math.min(list.total - 1, to));
  target = place;
  list.choose(place);
  go({ place });
}

async function goToRow(row) {
  // Selects the row's place under the filter. If the filter hides the row, the filter is cleared.
  for (;;) {
    const { total } = await link.ask("rows", { from: 0, to: 0, filter });
    let [low, high] = [0, total];
    while (low < high) {
      const middle = (low + high) >> 1;
      const { rows } = await link.ask("rows", { from: middle, to: middle + 1, filter });
      if (rows[0].row < row) low = middle + 1;
      else high = middle;
    }
    const { rows } = await link.ask("rows", { from: low, to: low + 1, filter });
    if (rows[0]?.row === row || Object.keys(filter).length === 0) return selectRow(low);
    await clearFilter();
  }
}

// ---- Display ----

function show() {
  if (!navigation.pending) target = current.place;
  timeline.at(current.step);
  const step = byId("step");
  if (document.activeElement !== step) step.value = current.step;
  byId("clock").textContent = count(current.clock);
  updateLanes(false);
  roles();
  byId("row").setAttribute("aria-busy", "false");
  detail.request(current);
  const text =
    current.row === null ? "" : `, ${kindName(current.row.kind)}: ${clean(current.row.text)}`;
  byId("live").textContent = `step ${current.step}${text}`;
  document.documentElement.dataset.step = current.step;
}

// Shows the row; for an effect, also the request and the answer.
const detail = new Latest(async ({ row, detail: of }) => {
  const { request, answer } = of?.related ?? {};
  const get = async (at) =>
    at === null || at === undefined ? null : at === row.row ? of : link.ask("detail", { row: at });
  const effect =
    of?.effect != null && of.what !== "payload"
      ? { request: await get(request), answer: await get(answer ?? of.related?.ended) }
      : null;
  byId("row").replaceChildren(...rowDetail({ row, detail: of, effect }, goToRow));
});

function roles() {
  const { session } = current;
  const place = byId("roles");
  const head = byId("session-name");
  if (session === null) {
    head.textContent =
      current.wanted === undefined ? "" : `session ${current.wanted} does not exist yet`;
    place.replaceChildren();
    byId("machine").replaceChildren();
    return;
  }
  head.replaceChildren(
    make("b", "", clean(session.protocol)),
    ` session ${count(session.session)} `,
    make("span", `phase ${session.phase}`, session.phase),
  );
  const image = images.find(({ digest }) => digest === session.image);
  if (image === undefined && !imageLoader.busy) imageLoader.request(session.image);
  const tops = [...place.querySelectorAll(".drawing")].map((drawing) => drawing.scrollTop);
  place.replaceChildren(...automata(image, session));
  place.querySelectorAll(".drawing").forEach((drawing, n) => {
    drawing.scrollTop = tops[n] ?? 0;
  });
  const acting =
    current.row?.session === session.session
      ? [...place.children].find(({ dataset }) => dataset.role === current.row.role)
      : undefined;
  acting?.classList.add("acting");
  acting?.scrollIntoView({ block: "nearest" });
  const inside = byId("machine");
  const opened = [...inside.querySelectorAll("details")].map(({ open: isOpen }) => isOpen);
  inside.replaceChildren(...machineDetail(session));
  inside.querySelectorAll("details").forEach((part, n) => {
    part.open = opened[n] ?? false;
  });
}

const imageLoader = new Latest(async (digest) => {
  await loadImages();
  if (images.some((image) => image.digest === digest)) roles();
});

// The lifelines: the roles of the filtered session, or of all protocols.
function updateLanes(force) {
  const one =
    filter.session === undefined
      ? undefined
      : images.find(({ digest }) => digest === current.session?.image);
  const wanted = (one === undefined ? images : [one]).map(({ digest }) => digest).join();
  if (!force && wanted === lanesOf) return;
  lanesOf = wanted;
  const of = one === undefined ? images : [one];
  const names = [...new Set(of.flatMap((image) => image.roles.map(({ name }) => name)))];
  sequence.roles(names, byId("rows").clientWidth * 0.42);
  document.documentElement.style.setProperty("--lanes", `${sequence.width}px`);
  list.refresh();
}

function rowElement(row, place) {
  const cell = (className, ...content) => {
    const element = make("span", className, ...content);
    element.setAttribute("role", "gridcell");
    return element;
  };
  const later =
    row.after > current.step ||
    (row.after === current.step && current.place >= 0 && place > current.place)
      ? "later"
      : "";
  const session = row.session === null ? "" : count(row.session);
  const text = clean(row.text);
  const what = cell("text", ...marked(text, found));
  what.title = text;
  return make(
    "div",
    `row ${severity(row)} ${later}`,
    cell("step", count(row.step)),
    cell("session", session),
    cell("lanes", ""),
    what,
  );
}

function afterDraw(rows, first, top) {
  const { scroller } = list;
  sequence.draw(rows, top, scroller.clientHeight);
  byId("heads").style.paddingRight = `${scroller.offsetWidth - scroller.clientWidth}px`;
}

function showRowCount() {
  const all = Object.keys(filter).length === 0;
  byId("shown").textContent = all
    ? `${count(list.total)} rows`
    : `${count(list.total)} of ${count(progress.rows)} rows`;
}

// ---- Filter and search ----

let filterVersion = 0;

async function applyFilter() {
  if (failed) return;
  filterVersion += 1;
  const version = filterVersion;
  const { total } = await link.ask("rows", { from: 0, to: 0, filter });
  // The filter has changed meanwhile.
  if (version !== filterVersion) return;
  list.resize(total, true);
  showRowCount();
  go({ step: current.step });
  density.request(true);
}

function readFilter() {
  for (const key of Object.keys(filter)) delete filter[key];
  const session = byId("session").value.trim();
  if (/^\d+$/.test(session) && Number(session) < 2 ** 32) filter.session = Number(session);
  if (byId("role").value !== "") filter.role = byId("role").value;
  if (enabledGroups.size < KIND_GROUPS.length)
    filter.kinds = [...enabledGroups].flatMap(({ kinds }) => kinds);
  if (byId("only").checked && search.value !== "") filter.text = search.value;
  byId("clear").hidden = Object.keys(filter).length === 0;
  return applyFilter();
}

function clearFilter() {
  byId("session").value = "";
  byId("role").value = "";
  byId("only").checked = false;
  for (const group of KIND_GROUPS) {
    enabledGroups.add(group);
    group.box.checked = true;
  }
  return readFilter();
}

function kindBoxes() {
  for (const group of KIND_GROUPS) {
    const box = make("input");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => {
      if (box.checked) enabledGroups.add(group);
      else enabledGroups.delete(group);
      readFilter();
    });
    group.box = box;
    byId("kinds").append(make("label", "kind", box, group.name));
  }
}

// Finds the next row with the text. After the last row the search wraps around.
async function find(backwards, from) {
  found = search.value;
  list.refresh();
  const place = byId("found");
  if (found === "") {
    place.textContent = "";
    return;
  }
  const text = found;
  let at = await link.ask("search", { text, from, filter, backwards });
  let around = "";
  if (at === null) {
    at = await link.ask("search", { text, from: backwards ? list.total : 0, filter, backwards });
    around = at === null ? "" : backwards ? ", from the end" : ", from the start";
  }
  if (text !== search.value) return;
  place.textContent =
    at === null ? "not found" : `${count(at + 1)} of ${count(list.total)}${around}`;
  place.classList.toggle("bad", at === null);
  if (at !== null) selectRow(at);
}

// Searches run one after another, each from the result of the one before.
let finding = Promise.resolve();
const next = () => (finding = finding.then(() => find(false, Math.max(0, target + 1))));
const previous = () => (finding = finding.then(() => find(true, Math.max(0, target))));

let searchTimer;
search.addEventListener("input", () => {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(
    () =>
      byId("only").checked
        ? ((found = search.value), readFilter())
        : find(false, Math.max(0, target)),
    150,
  );
});

// ---- Keys and buttons ----

function theme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

const isDark = () => document.documentElement.dataset.theme === "dark";

const KEY_ACTIONS = {
  ArrowDown: () => selectRow(target + 1),
  j: () => selectRow(target + 1),
  ArrowUp: () => selectRow(target - 1),
  k: () => selectRow(target - 1),
  ArrowRight: () => go({ by: 1 }),
  l: () => go({ by: 1 }),
  ArrowLeft: () => go({ by: -1 }),
  h: () => go({ by: -1 }),
  PageDown: () => selectRow(target + list.page),
  PageUp: () => selectRow(target - list.page),
  Home: () => selectRow(0),
  g: () => selectRow(0),
  End: () => selectRow(list.total - 1),
  G: () => selectRow(list.total - 1),
  0: () => go({ step: 0 }),
  $: () => go({ step: progress.steps }),
  n: next,
  N: previous,
  "/": () => {
    search.focus();
    search.select();
  },
  s: () => {
    byId("step").focus();
    byId("step").select();
  },
  c: clearFilter,
  t: () => theme(!isDark()),
  "?": () => byId("help").showModal(),
};

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const field = event.target;
  if (event.key === "Escape") {
    // Escape would clear a search field.
    event.preventDefault();
    byId("list").focus();
    return;
  }
  if (field === search && event.key === "Enter") {
    clearTimeout(searchTimer);
    (event.shiftKey ? previous : next)();
    return event.preventDefault();
  }
  // Fields and sliders handle their own keys.
  if (field.matches("input:not([type=checkbox]), select")) return;
  if (field.matches("button, summary, input") && (event.key === " " || event.key === "Enter"))
    return;
  const act = KEY_ACTIONS[event.key];
  if (!Object.hasOwn(KEY_ACTIONS, event.key)) return;
  event.preventDefault();
  act();
}

document.addEventListener("keydown", key);
byId("first").addEventListener("click", () => go({ step: 0 }));
byId("back").addEventListener("click", () => go({ by: -1 }));
byId("forward").addEventListener("click", () => go({ by: 1 }));
byId("last").addEventListener("click", () => go({ step: progress.steps }));
byId("step").addEventListener("change", () => {
  const step = Number(byId("step").value);
  if (Number.isInteger(step) && step >= 0) go({ step: Math.min(step, progress.steps) });
});
byId("next").addEventListener("click", next);
byId("previous").addEventListener("click", previous);
byId("session").addEventListener("change", readFilter);
byId("role").addEventListener("change", readFilter);
byId("only").addEventListener("change", readFilter);
byId("clear").addEventListener("click", clearFilter);
byId("theme").addEventListener("click", () => theme(!isDark()));
byId("keys").addEventListener("click", () => byId("help").showModal());
window.addEventListener("resize", () => updateLanes(true));

// Errors of the worker, whatever the request was.
window.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  fail(event.reason);
});

async function start() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  theme(system.matches);
  system.addEventListener("change", ({ matches }) => theme(matches));
  document.body.append(arrowHeads());
  document.title = `${clean(parts.name)} · Antiphon`;
  byId("title").textContent = clean(parts.name);
  kindBoxes();
  byId("clear").hidden = true;
  byId("list").focus();
  const { header, progress: now } = await link.ask("open", open);
  byId("meta").textContent = [
    `recorded by ${header.tool}`,
    ...header.notes.map(([name, text]) => `${name}: ${text}`),
    header.policy,
    header.determinism,
  ]
    .map(clean)
    .join("  ·  ");
  byId("source-text").textContent = clean(header.source ?? "");
  byId("source").hidden = !header.source;
  progress = now;
  await loadImages();
  showProgress();
  go({ step: 0 });
}

// For tests: the kinds of rows that the boxes select, the number of requests, and the number of
// those without an answer.
window.antiphonView = {
  kinds: KIND_GROUPS.flatMap(({ kinds }) => kinds),
  get sent() {
    return link.sent;
  },
  get outstanding() {
    return link.outstanding;
  },
};

start();
