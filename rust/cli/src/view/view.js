// The page of a replay. Its state is the position in the replay, the selected row and the filter.
import { automata, tips } from "./automata.js";
import { machineDetail, rowDetail, kindName } from "./detail.js";
import { byId, clean, count, make, marked } from "./dom.js";
import { Latest, Link } from "./link.js";
import { List } from "./list.js";
import { Sequence, manner } from "./sequence.js";
import { PARTS, Timeline } from "./timeline.js";
import { partial, unreadable, verdict } from "./verdict.js";

const groups = [
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
const on = new Set(groups);
let images = [];
let lanesOf = null;
let look = { step: 0, place: -1, row: null, session: null };
let progress = { steps: 0, rows: 0, over: false };
let failed = false;
let found = null;

// The sources of the worker and its data: addresses on the server, or texts in the page.
function begin() {
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

const { worker, open } = begin();
const link = new Link(worker, heard);
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

function heard({ event, progress: now, error }) {
  if (event === "failed") return fail(error);
  progress = now;
  extent();
  if (now.over) over();
}

function fail(error) {
  failed = true;
  say("bad", "unreadable", unreadable(error));
}

function say(manner_, word, banner) {
  const badge = byId("verdict");
  badge.className = `badge ${manner_}`;
  badge.textContent = word;
  const place = byId("banner");
  place.hidden = banner === null;
  place.className = manner_;
  place.replaceChildren(...(banner ?? []));
}

// The progress so far.
const growth = new Latest(async () => {
  const { total } = await link.ask("rows", { from: 0, to: 0, filter });
  list.resize(total);
  shown();
});

function extent() {
  timeline.extent(progress.steps);
  byId("steps").textContent = count(progress.steps);
  byId("step").max = progress.steps;
  growth.want(true);
  if (!progress.over) say("", `replaying, ${count(progress.steps)} steps`, null);
}

async function over() {
  const findings = await link.ask("findings");
  await learn();
  const told = verdict(findings, (step) => go({ step }));
  // While the replay runs, the badge shows a count, which a screen reader should not announce.
  byId("verdict").setAttribute("role", "status");
  const rest = partial(findings);
  const colour = rest !== null && told.manner === "good" ? "odd" : told.manner;
  say(colour, told.word, rest === null ? told.banner : [...(told.banner ?? []), ...rest]);
  timeline.breakAt(told.step);
  density.want(true);
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

async function learn() {
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
  lanes(true);
}

const density = new Latest(async () => {
  const { counts } = await link.ask("density", {
    parts: Math.max(1, Math.min(PARTS, progress.steps)),
    filter,
  });
  timeline.density(counts);
});

// ---- Navigation ----

const going = new Latest(async ({ reveal, ...where }) => {
  look = await link.ask("look", { ...where, filter, session: look.session?.session });
  if (!going.more) list.choose(look.place, reveal);
  show();
});

function go(where) {
  if (failed) return;
  // Relative steps add up from their starting point.
  going.want({ reveal: true, ...where }, (before, after) =>
    after.by === undefined ? after : { ...before, ...after, by: (before.by ?? 0) + after.by },
  );
}

// The row that is selected or about to be: a held key continues from there.
let aim = -1;

function move(to) {
  if (list.total === 0) return;
  const place = Math.max(0, Math.min(list.total - 1, to));
  aim = place;
  list.choose(place);
  go({ place });
}

async function goToRow(row) {
  // Its position under the filter, or its unfiltered position if the filter hides it.
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
    if (rows[0]?.row === row || Object.keys(filter).length === 0) return move(low);
    await clearFilter();
  }
}

// ---- Display ----

function show() {
  if (!going.more) aim = look.place;
  timeline.at(look.step);
  const step = byId("step");
  if (document.activeElement !== step) step.value = look.step;
  byId("clock").textContent = count(look.clock);
  lanes(false);
  roles();
  byId("row").setAttribute("aria-busy", "false");
  detail.want(look);
  const told = look.row === null ? "" : `, ${kindName(look.row.kind)}: ${clean(look.row.text)}`;
  byId("live").textContent = `step ${look.step}${told}`;
  document.documentElement.dataset.step = look.step;
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
  const { session } = look;
  const place = byId("roles");
  const head = byId("session-name");
  if (session === null) {
    head.textContent = look.wanted === undefined ? "" : `session ${look.wanted} is not there yet`;
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
  if (image === undefined && !learning.busy) learning.want(session.image);
  const tops = [...place.querySelectorAll(".drawing")].map((drawing) => drawing.scrollTop);
  place.replaceChildren(...automata(image, session));
  place.querySelectorAll(".drawing").forEach((drawing, n) => {
    drawing.scrollTop = tops[n] ?? 0;
  });
  const acting =
    look.row?.session === session.session
      ? [...place.children].find(({ dataset }) => dataset.role === look.row.role)
      : undefined;
  acting?.classList.add("acting");
  acting?.scrollIntoView({ block: "nearest" });
  const inside = byId("machine");
  const unfolded = [...inside.querySelectorAll("details")].map(({ open: is }) => is);
  inside.replaceChildren(...machineDetail(session));
  inside.querySelectorAll("details").forEach((part, n) => {
    part.open = unfolded[n] ?? false;
  });
}

const learning = new Latest(async (digest) => {
  await learn();
  if (images.some((image) => image.digest === digest)) roles();
});

// The lifelines: the roles of the filtered session, or of all protocols.
function lanes(force) {
  const one =
    filter.session === undefined
      ? undefined
      : images.find(({ digest }) => digest === look.session?.image);
  const wanted = (one === undefined ? images : [one]).map(({ digest }) => digest).join();
  if (!force && wanted === lanesOf) return;
  lanesOf = wanted;
  const of = one === undefined ? images : [one];
  const names = [...new Set(of.flatMap((image) => image.roles.map(({ name }) => name)))];
  sequence.roles(names, byId("story").clientWidth * 0.42);
  document.documentElement.style.setProperty("--lanes", `${sequence.width}px`);
  list.refresh();
}

function rowElement(row, place) {
  const cell = (className, ...content) => {
    const element = make("span", className, ...content);
    element.setAttribute("role", "gridcell");
    return element;
  };
  const past =
    row.after > look.step || (row.after === look.step && look.place >= 0 && place > look.place)
      ? "later"
      : "";
  const session = row.session === null ? "" : count(row.session);
  const text = clean(row.text);
  const what = cell("text", ...marked(text, found));
  what.title = text;
  return make(
    "div",
    `row ${manner(row)} ${past}`,
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

function shown() {
  const all = Object.keys(filter).length === 0;
  byId("shown").textContent = all
    ? `${count(list.total)} rows`
    : `${count(list.total)} of ${count(progress.rows)} rows`;
}

// ---- Filter and search ----

let sifted = 0;

async function sift() {
  if (failed) return;
  sifted += 1;
  const mine = sifted;
  const { total } = await link.ask("rows", { from: 0, to: 0, filter });
  // The filter has changed meanwhile.
  if (mine !== sifted) return;
  list.resize(total, true);
  shown();
  go({ step: look.step });
  density.want(true);
}

function readFilter() {
  for (const key of Object.keys(filter)) delete filter[key];
  const session = byId("session").value.trim();
  if (/^\d+$/.test(session) && Number(session) < 2 ** 32) filter.session = Number(session);
  if (byId("role").value !== "") filter.role = byId("role").value;
  if (on.size < groups.length) filter.kinds = [...on].flatMap(({ kinds }) => kinds);
  if (byId("only").checked && search.value !== "") filter.text = search.value;
  byId("clear").hidden = Object.keys(filter).length === 0;
  return sift();
}

function clearFilter() {
  byId("session").value = "";
  byId("role").value = "";
  byId("only").checked = false;
  for (const group of groups) {
    on.add(group);
    group.box.checked = true;
  }
  return readFilter();
}

function kindBoxes() {
  for (const group of groups) {
    const box = make("input");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => {
      if (box.checked) on.add(group);
      else on.delete(group);
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
  if (at !== null) move(at);
}

// Searches run one after another, each from the result of the one before.
let finding = Promise.resolve();
const next = () => (finding = finding.then(() => find(false, Math.max(0, aim + 1))));
const previous = () => (finding = finding.then(() => find(true, Math.max(0, aim))));

let typed;
search.addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(
    () =>
      byId("only").checked ? ((found = search.value), readFilter()) : find(false, Math.max(0, aim)),
    150,
  );
});

// ---- Keys and buttons ----

function theme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

const isDark = () => document.documentElement.dataset.theme === "dark";

const keysDo = {
  ArrowDown: () => move(aim + 1),
  j: () => move(aim + 1),
  ArrowUp: () => move(aim - 1),
  k: () => move(aim - 1),
  ArrowRight: () => go({ by: 1 }),
  l: () => go({ by: 1 }),
  ArrowLeft: () => go({ by: -1 }),
  h: () => go({ by: -1 }),
  PageDown: () => move(aim + list.page),
  PageUp: () => move(aim - list.page),
  Home: () => move(0),
  g: () => move(0),
  End: () => move(list.total - 1),
  G: () => move(list.total - 1),
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
  const { target } = event;
  if (event.key === "Escape") {
    // Escape would clear a search field.
    event.preventDefault();
    byId("list").focus();
    return;
  }
  if (target === search && event.key === "Enter") {
    clearTimeout(typed);
    (event.shiftKey ? previous : next)();
    return event.preventDefault();
  }
  // Fields and sliders handle their own keys.
  if (target.matches("input:not([type=checkbox]), select")) return;
  if (target.matches("button, summary, input") && (event.key === " " || event.key === "Enter"))
    return;
  const act = keysDo[event.key];
  if (!Object.hasOwn(keysDo, event.key)) return;
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
window.addEventListener("resize", () => lanes(true));

// Errors of the worker, whatever the request was.
window.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  fail(event.reason);
});

async function start() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  theme(system.matches);
  system.addEventListener("change", ({ matches }) => theme(matches));
  document.body.append(tips());
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
  await learn();
  extent();
  go({ step: 0 });
}

// For tests: the number of requests and of those without an answer.
window.antiphonView = {
  get sent() {
    return link.sent;
  },
  get open() {
    return link.open;
  },
};

start();
