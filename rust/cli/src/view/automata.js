// Draws the automaton of each role and marks the role's current state.
import { clean, draw, make, shortened } from "./dom.js";

const STATES_MAX = 48;
const DOWN = 54;
const ACROSS = 92;
const RADIUS = 13;
const LETTERS = 20;
const LETTERS_BESIDE = 11;

// The distance of each state from the first one, and the states that are close enough to a given
// state to be drawn.
function layers(states, around) {
  const depth = new Map([[0, 0]]);
  const queue = [0];
  for (const at of queue) {
    for (const { next } of states[at].branches) {
      if (!depth.has(next)) {
        depth.set(next, depth.get(at) + 1);
        queue.push(next);
      }
    }
  }
  if (queue.length <= STATES_MAX) return { depth, shown: queue, left: 0 };
  // Too many states to draw: keep those near the current state.
  const near = new Set([around]);
  const back = new Map();
  states.forEach(({ branches }, from) =>
    branches.forEach(({ next }) => back.set(next, [...(back.get(next) ?? []), from])),
  );
  for (const at of near) {
    for (const to of [...states[at].branches.map(({ next }) => next), ...(back.get(at) ?? [])]) {
      if (near.size < STATES_MAX / 2) near.add(to);
    }
  }
  const shown = queue.filter((at) => near.has(at));
  return { depth, shown, left: queue.length - shown.length };
}

// One edge for all branches from one state to the same other state.
function edges(states, shown) {
  const found = new Map();
  for (const from of shown) {
    const { action, peer, branches } = states[from];
    for (const { label, sort, next } of branches) {
      if (!shown.includes(next)) continue;
      const key = `${from} ${next}`;
      const edge = found.get(key) ?? { from, to: next, labels: [], full: [] };
      const sign = action === "send" ? "!" : "?";
      edge.labels.push(label);
      edge.full.push(`${peer} ${sign} ${label} ${sort === "Unit" ? "" : sort}`.trim());
      found.set(key, edge);
    }
  }
  return [...found.values()];
}

function places({ depth, shown }) {
  const rows = new Map();
  for (const state of shown) {
    const at = depth.get(state);
    rows.set(at, [...(rows.get(at) ?? []), state]);
  }
  const widest = Math.max(...[...rows.values()].map((row) => row.length));
  const width = Math.max(1, widest) * ACROSS;
  const place = new Map();
  [...rows.keys()]
    .sort((a, b) => a - b)
    .forEach((at, row) => {
      const states = rows.get(at);
      states.forEach((state, column) => {
        const x = ((column + 0.5) * width) / states.length;
        place.set(state, { x, y: RADIUS + 6 + row * DOWN, row });
      });
    });
  return { place, width, height: rows.size * DOWN - DOWN + 2 * RADIUS + 12 };
}

// The curve from one state to another, and the position of its label. An edge that does not lead to
// the next layer goes around all states, on the nearer side.
function curve(from, to, lanes, width) {
  if (from === to) {
    const { x, y } = from;
    // On the outer side, which is free of other states.
    const way = x < width / 2 ? -1 : 1;
    const bend = x + 44 * way;
    const d =
      `M${x + 9 * way} ${y - 9}C${bend} ${y - 30} ` + `${bend} ${y + 30} ${x + 14 * way} ${y + 9}`;
    return { d, x: x + 38 * way, y: y + 4, anchor: way < 0 ? "end" : "start" };
  }
  if (to.row === from.row + 1) {
    const [x1, y1, x2, y2] = [from.x, from.y + RADIUS, to.x, to.y - RADIUS - 6];
    const middle = (y1 + y2) / 2;
    return {
      d: `M${x1} ${y1}C${x1} ${middle} ${x2} ${middle} ${x2} ${y2}`,
      // Nearer to the target, where branches are further apart.
      x: x1 + (x2 - x1) * 0.75,
      y: middle + 3,
      anchor: "middle",
    };
  }
  if (to.row === from.row && Math.abs(to.x - from.x) <= ACROSS) {
    const way = Math.sign(to.x - from.x);
    const [x1, x2] = [from.x + way * RADIUS, to.x - way * (RADIUS + 6)];
    const bend = from.y + way * 12;
    return {
      d: `M${x1} ${from.y + 4 * way}Q${(x1 + x2) / 2} ${bend} ${x2} ${to.y + 4 * way}`,
      x: (x1 + x2) / 2,
      y: bend + (way > 0 ? 8 : -2),
      anchor: "middle",
    };
  }
  const left = from.x + to.x < width;
  const side = left ? "left" : "right";
  const lane = lanes[side];
  lanes[side] += 1;
  const way = left ? -1 : 1;
  const out = (left ? 0 : width) + way * (4 + lane * 14);
  const [x1, x2] = [from.x + way * RADIUS, to.x + way * (RADIUS + 6)];
  const middle = (from.y + to.y) / 2;
  return {
    d:
      `M${x1} ${from.y}C${out} ${from.y} ${out} ${from.y} ${out} ${middle}` +
      `S${out} ${to.y} ${x2} ${to.y}`,
    x: out + 4 * way,
    y: middle + 4 + lane * 13,
    anchor: left ? "end" : "start",
  };
}

function automaton(states, lit, name) {
  const { depth, shown, left } = layers(states, lit);
  const { place, width, height } = places({ depth, shown });
  const lines = [];
  const labels = [];
  const lanes = { left: 0, right: 0 };
  let [start, end, low] = [0, width, height];
  for (const { from, to, labels: names, full } of edges(states, shown)) {
    const line = curve(place.get(from), place.get(to), lanes, width);
    const may = from === lit ? "may" : "";
    const text = shortened(
      clean(names.join(" | ")),
      line.anchor === "middle" ? LETTERS : LETTERS_BESIDE,
    );
    const title = () => draw("title", {}, clean(full.join("\n")));
    lines.push(
      draw("path", { class: `edge ${may}`, d: line.d, "marker-end": `url(#tip${may})` }, title()),
    );
    labels.push(
      draw(
        "text",
        { class: `label ${may}`, x: line.x, y: line.y, "text-anchor": line.anchor },
        text,
        title(),
      ),
    );
    const room = text.length * 6.2;
    const reach = { start: [0, room], middle: [-room / 2, room / 2], end: [-room, 0] }[line.anchor];
    start = Math.min(start, line.x + reach[0]);
    end = Math.max(end, line.x + reach[1]);
    low = Math.max(low, line.y + 6);
  }
  const nodes = shown.map((state) => {
    const { x, y } = place.get(state);
    const { action, peer } = states[state];
    const kind = state === lit ? `${action} lit` : action;
    const circle = [draw("circle", { cx: x, cy: y, r: RADIUS })];
    if (action === "end")
      circle.push(draw("circle", { class: "inner", cx: x, cy: y, r: RADIUS - 3.5 }));
    const told =
      action === "end"
        ? "the end"
        : `${action}s ${action === "send" ? "to" : "from"} ${clean(peer)}`;
    const node = draw(
      "g",
      { class: `state ${kind}`, "data-state": state },
      ...circle,
      draw("text", { x, y: y + 4 }, state),
      draw("title", {}, `state ${state}: ${told}`),
    );
    if (state === lit) node.setAttribute("aria-current", "true");
    return node;
  });
  const [wide, high] = [Math.ceil(end - start) + 12, Math.ceil(low)];
  const svg = draw(
    "svg",
    {
      class: "automaton",
      viewBox: `${Math.floor(start) - 6} 0 ${wide} ${high}`,
      width: wide,
      height: high,
      role: "img",
      "aria-label": `automaton of ${clean(name)}, in state ${lit} of ${states.length}`,
    },
    ...lines,
    ...labels,
    ...nodes,
  );
  return { svg, left, wide };
}

const TIP = {
  viewBox: "0 0 8 8",
  refX: 1,
  refY: 4,
  markerWidth: 7,
  markerHeight: 7,
  orient: "auto",
};

/** Arrow heads that the drawings refer to. */
export function tips() {
  const tip = (id) => draw("marker", { id, ...TIP }, draw("path", { d: "M0 0L8 4L0 8z" }));
  return draw(
    "svg",
    { class: "tips", width: 0, height: 0, "aria-hidden": "true" },
    draw("defs", {}, tip("tip"), tip("tipmay")),
  );
}

/** The automata of a session: of its image, with the states of its roles lit. */
export function automata(image, session) {
  return session.roles.map((role) => {
    const card = make("figure", "role");
    card.dataset.role = role.role;
    const head = make("figcaption", "", make("b", "", clean(role.role)));
    const status = role.coroutine?.status ?? "";
    const on = role.coroutine?.on ? ` on ${clean(role.coroutine.on)}` : "";
    head.append(make("span", `status ${status}`, ` ${status}${on}`));
    card.append(head);
    const states = image?.roles.find(({ name }) => name === role.role)?.states;
    if (states !== undefined) {
      const { svg, left, wide } = automaton(states, role.state, role.role);
      // A slightly smaller text is still readable; a longer one gets its own line.
      card.style.flexBasis = `${Math.round(wide * 0.8)}px`;
      card.append(make("div", "drawing", svg));
      if (left > 0) card.append(make("p", "faint", `${left} more states are further away`));
    }
    return card;
  });
}
