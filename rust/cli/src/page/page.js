"use strict";
// The page of a recording. Everything from the recording is put in as text, never as markup.

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const rows = read("rows");
const { strings, head } = read("head");
const kinds = head.kinds;

// A row: kind, step, clock, session, from, to, what, number, values, note.
const KIND = 0, STEP = 1, CLOCK = 2, SESSION = 3, FROM = 4, TO = 5, WHAT = 6, NUMBER = 7, VALUES = 8, NOTE = 9;
const ROW_HEIGHT = 24, LANE_WIDTH = 110, AROUND = 12;
const SVG = "http://www.w3.org/2000/svg";

const groups = [
  { name: "messages", kinds: ["sent"], on: true },
  { name: "receipts", kinds: ["received"], on: false },
  { name: "calls", kinds: ["called", "answered"], on: true },
  { name: "hosts", kinds: ["host_asked", "host_answered"], on: false },
  { name: "trouble", kinds: ["failed", "timed_out", "cancelled", "failure_branch", "faulted", "refused", "diverged"], on: true },
  { name: "sessions", kinds: ["opened", "ended", "halted"], on: true },
  { name: "the rest", kinds: ["witness", "clock", "checkpoint"], on: false },
];
// Where rows are left out, which is seen whatever is chosen.
const leftOut = kinds.indexOf("left_out");
const trouble = new Set(groups[4].kinds.map((name) => kinds.indexOf(name)));

const byId = (id) => document.getElementById(id);
const make = (name, className, text) => {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};
const string = (index) => (index < 0 ? "" : strings[index]);

let shown = [];
let chosen = -1;
const lanes = new Map(head.roles.map((name, index) => [name, index]));
const lanesWidth = Math.max(1, head.roles.length) * LANE_WIDTH;

const list = byId("list"), space = byId("space"), search = byId("search");

function title() {
  byId("title").textContent = head.title;
  document.title = head.title;
  const ends = head.ends ? [`sessions: ${head.ends}`] : [];
  byId("meta").textContent =
    [head.tool, ...head.notes.map(([name, text]) => `${name}: ${text}`), ...ends].join("  ·  ");
  const tail = byId("tail");
  tail.textContent = head.tail;
  tail.className = head.tail_class;
  byId("source-text").textContent = head.source || "";
  byId("source").hidden = !head.source;
  const lane = byId("lane-heads");
  lane.style.width = `${lanesWidth}px`;
  head.roles.forEach((name, index) => {
    const element = make("span", "lane", name);
    element.style.left = `${(index + 0.5) * LANE_WIDTH}px`;
    element.style.width = `${LANE_WIDTH - 6}px`;
    element.title = name;
    lane.append(element);
  });
}

function toggles() {
  // Of the whole recording, whatever of it is in this page.
  const { counts } = head;
  const place = byId("kinds");
  for (const group of groups) {
    const count = group.kinds.reduce((sum, name) => sum + counts[kinds.indexOf(name)], 0);
    const label = make("label", "kind");
    const box = make("input");
    box.type = "checkbox";
    box.checked = group.on;
    box.addEventListener("change", () => { group.on = box.checked; sift(); });
    label.append(box, `${group.name} `, make("span", "", count.toLocaleString("en")));
    place.append(label);
  }
}

function sift() {
  const keep = chosen >= 0 ? shown[chosen] : -1;
  const on = new Set(groups.filter((g) => g.on).flatMap((g) => g.kinds.map((name) => kinds.indexOf(name))));
  const wanted = search.value.toLowerCase();
  const fits = (row) =>
    !wanted ||
    [string(row[FROM]), string(row[TO]), string(row[WHAT]), row[VALUES], row[NOTE]].some((text) =>
      text.toLowerCase().includes(wanted));
  shown = [];
  rows.forEach((row, index) => { if (row[KIND] === leftOut || (on.has(row[KIND]) && fits(row))) shown.push(index); });
  chosen = shown.indexOf(keep);
  space.style.height = `${shown.length * ROW_HEIGHT}px`;
  const listed = shown.reduce((sum, index) => sum + (rows[index][KIND] === leftOut ? 0 : 1), 0);
  byId("shown").textContent = `${listed.toLocaleString("en")} of ${head.total.toLocaleString("en")}` +
    (head.left_out ? `, ${head.left_out.toLocaleString("en")} not in this page` : "");
  draw();
}

function manner(row) {
  const kind = kinds[row[KIND]];
  if (kind === "left_out") return "odd";
  if (kind === "faulted" || kind === "diverged") return "bad";
  if (kind === "ended") return string(row[WHAT]) === "closed" ? "good" : "odd";
  return trouble.has(row[KIND]) ? "odd" : "";
}

function sign(row) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("width", lanesWidth);
  svg.setAttribute("height", ROW_HEIGHT);
  const put = (name, attributes) => {
    const element = document.createElementNS(SVG, name);
    for (const key of Object.keys(attributes)) element.setAttribute(key, attributes[key]);
    svg.append(element);
  };
  const at = (lane) => (lane + 0.5) * LANE_WIDTH;
  head.roles.forEach((_, lane) => put("line", { x1: at(lane), x2: at(lane), y1: 0, y2: ROW_HEIGHT }));
  const from = lanes.get(string(row[FROM])), to = lanes.get(string(row[TO]));
  const kind = kinds[row[KIND]], y = ROW_HEIGHT / 2;
  if ((kind === "sent" || kind === "received") && from !== undefined && to !== undefined) {
    const taken = kind === "received";
    const way = Math.sign(at(to) - at(from));
    put("line", { x1: at(from), x2: at(to) - 7 * way, y1: y, y2: y, class: taken ? "taken" : "arrow" });
    const tip = at(to) - way, back = at(to) - 8 * way;
    put("polygon", { points: `${tip},${y} ${back},${y - 4} ${back},${y + 4}`, class: taken ? "taken-head" : "head" });
  } else {
    const lane = from !== undefined && !["answered", "failed", "host_answered"].includes(kind) ? from : to;
    if (lane !== undefined) put("circle", { cx: at(lane), cy: y, r: 4, class: manner(row) || (kind === "called" ? "call" : "") });
  }
  return svg;
}

function words(row) {
  const text = make("span", "text");
  const kind = kinds[row[KIND]];
  const what = string(row[WHAT]), values = row[VALUES], note = row[NOTE];
  const lead = {
    received: "took ", called: "calls ", answered: "gets ", host_asked: "asks host: ", host_answered: "host says: ",
    opened: "opened ", ended: "ended: ", halted: "is done", clock: "ticks ", cancelled: "cancellation ",
    failure_branch: "goes on after a failure", timed_out: "timed out", checkpoint: "checkpoint",
    diverged: "diverged", refused: "refused", witness: "witness ", faulted: "faulted", failed: "failed: ", left_out: "…",
  }[kind] || "";
  const session = row[SESSION] > 0 ? `[${row[SESSION]}] ` : "";
  text.append(session, make("span", "what", lead + what));
  if (values) text.append("  ", make("span", "values", values));
  if (note) text.append("  ", make("span", "note", note));
  return text;
}

function draw() {
  const first = Math.max(0, Math.floor(list.scrollTop / ROW_HEIGHT) - AROUND);
  const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW_HEIGHT) + AROUND);
  const drawn = document.createDocumentFragment();
  for (let at = first; at < last; at += 1) {
    const row = rows[shown[at]];
    const line = make("div", `row ${manner(row)}`);
    line.id = `row-${at}`;
    line.setAttribute("role", "option");
    line.setAttribute("aria-setsize", shown.length);
    line.setAttribute("aria-posinset", at + 1);
    line.setAttribute("aria-selected", at === chosen);
    if (at === chosen) line.classList.add("chosen");
    line.style.top = `${at * ROW_HEIGHT}px`;
    line.addEventListener("mousedown", () => choose(at, false));
    const sign_ = make("span", "lanes");
    sign_.append(sign(row));
    line.append(make("span", "step", row[STEP]), make("span", "clock", row[CLOCK]), sign_, words(row));
    drawn.append(line);
  }
  space.replaceChildren(drawn);
  byId("heads").scrollLeft = list.scrollLeft;
  if (chosen >= 0) list.setAttribute("aria-activedescendant", `row-${chosen}`);
  else list.removeAttribute("aria-activedescendant");
}

function choose(at, scroll) {
  if (!shown.length) return;
  chosen = Math.max(0, Math.min(shown.length - 1, at));
  const top = chosen * ROW_HEIGHT;
  if (scroll && top < list.scrollTop) list.scrollTop = top;
  if (scroll && top + ROW_HEIGHT > list.scrollTop + list.clientHeight) {
    list.scrollTop = top + ROW_HEIGHT - list.clientHeight;
  }
  detail();
  draw();
}

function detail() {
  const place = byId("detail");
  place.replaceChildren();
  if (chosen < 0) return;
  const row = rows[shown[chosen]];
  place.append(make("h2", "", kinds[row[KIND]].replace(/_/g, " ")));
  const facts = make("dl");
  const fact = (name, value) => {
    if (value === "" || value < 0) return;
    facts.append(make("dt", "", name), make("dd", "", value));
  };
  fact("step", row[STEP]);
  fact("clock", row[CLOCK]);
  fact("session", row[SESSION]);
  fact("from", string(row[FROM]));
  fact("to", string(row[TO]));
  fact("what", string(row[WHAT]));
  fact("number", row[NUMBER]);
  fact("note", row[NOTE]);
  place.append(facts);
  if (row[VALUES]) place.append(make("pre", "", row[VALUES]));
}

function nextTrouble() {
  for (let at = chosen + 1; at < shown.length; at += 1) {
    if (trouble.has(rows[shown[at]][KIND])) return choose(at, true);
  }
}

function theme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

function keys(event) {
  const page = Math.max(1, Math.floor(list.clientHeight / ROW_HEIGHT) - 1);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === search) {
    if (event.key === "Escape") { search.value = ""; sift(); list.focus(); }
    if (event.key === "Enter" || event.key === "ArrowDown") { list.focus(); choose(Math.max(0, chosen), true); }
    return;
  }
  const moves = {
    ArrowDown: chosen + 1, j: chosen + 1, ArrowUp: chosen - 1, k: chosen - 1,
    PageDown: chosen + page, PageUp: chosen - page, Home: 0, g: 0, End: shown.length - 1, G: shown.length - 1,
  };
  if (Object.hasOwn(moves, event.key)) choose(moves[event.key], true);
  else if (event.key === "e") nextTrouble();
  else if (event.key === "/") search.focus();
  else if (event.key === "t") theme(document.documentElement.dataset.theme !== "dark");
  else if (event.key === "?") byId("help").showModal();
  else return;
  event.preventDefault();
}

title();
toggles();
theme(matchMedia("(prefers-color-scheme: dark)").matches);
list.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
window.addEventListener("resize", draw);
search.addEventListener("input", sift);
document.addEventListener("keydown", keys);
byId("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme !== "dark"));
byId("keys").addEventListener("click", () => byId("help").showModal());
sift();
list.focus();
