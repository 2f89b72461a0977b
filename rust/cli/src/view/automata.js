// Draws the automaton of each role and marks the role's current state.
import { clean, draw, make, shortened } from "./dom.js";

// A drawing with more states is not readable.
const STATES_MAX = 48;
// Lengths in pixels.
const LAYER_HEIGHT = 54;
const STATE_WIDTH = 92;
const RADIUS = 13;
// The longest labels, in characters: within the drawing, and at its sides.
const LABEL_LEN_MAX = 20;
const SIDE_LABEL_LEN_MAX = 11;

// Returns the distance of each state from the first one, the states to draw, and the number of
// states that are left out because they are far from the current one.
function layers(states, current) {
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
  if (queue.length <= STATES_MAX) return { depth, shown: queue, omitted: 0 };
  // Too many states to draw: keep those near the current state.
  const near = new Set([current]);
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
  return { depth, shown, omitted: queue.length - shown.length };
}

// Returns one edge for all branches from one state to the same other state.
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
  const width = Math.max(1, widest) * STATE_WIDTH;
  const place = new Map();
  [...rows.keys()]
    .sort((a, b) => a - b)
    .forEach((at, row) => {
      const states = rows.get(at);
      states.forEach((state, column) => {
        const x = ((column + 0.5) * width) / states.length;
        place.set(state, { x, y: RADIUS + 6 + row * LAYER_HEIGHT, row });
      });
    });
  return { place, width, height: rows.size * LAYER_HEIGHT - LAYER_HEIGHT + 2 * RADIUS + 12 };
}

// Returns the curve from one state to another and the position of its label. An edge that does not
// lead to the next layer goes around all states, on the nearer side.
function curve(from, to, lanes, width) {
  if (from === to) {
    const { x, y } = from;
    // On the outer side, which is free of other states.
    const direction = x < width / 2 ? -1 : 1;
    const bend = x + 44 * direction;
    const d =
      `M${x + 9 * direction} ${y - 9}C${bend} ${y - 30} ` +
      `${bend} ${y + 30} ${x + 14 * direction} ${y + 9}`;
    return { d, x: x + 38 * direction, y: y + 4, anchor: direction < 0 ? "end" : "start" };
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
  if (to.row === from.row && Math.abs(to.x - from.x) <= STATE_WIDTH) {
    const direction = Math.sign(to.x - from.x);
    const [x1, x2] = [from.x + direction * RADIUS, to.x - direction * (RADIUS + 6)];
    const bend = from.y + direction * 12;
    return {
      d: `M${x1} ${from.y + 4 * direction}Q${(x1 + x2) / 2} ${bend} ${x2} ${to.y + 4 * direction}`,
      x: (x1 + x2) / 2,
      y: bend + (direction > 0 ? 8 : -2),
      anchor: "middle",
    };
  }
  const left = from.x + to.x < width;
  const side = left ? "left" : "right";
  const lane = lanes[side];
  lanes[side] += 1;
  const direction = left ? -1 : 1;
  const out = (left ? 0 : width) + direction * (4 + lane * 14);
  const [x1, x2] = [from.x + direction * RADIUS, to.x + direction * (RADIUS + 6)];
  const middle = (from.y + to.y) / 2;
  return {
    d:
      `M${x1} ${from.y}C${out} ${from.y} ${out} ${from.y} ${out} ${middle}` +
      `S${out} ${to.y} ${x2} ${to.y}`,
    x: out + 4 * direction,
    y: middle + 4 + lane * 13,
    anchor: left ? "end" : "start",
  };
}

function automaton(states, current, name) {
  const { depth, shown, omitted } = layers(states, current);
  const { place, width, height } = places({ depth, shown });
  const lines = [];
  const labels = [];
  const lanes = { left: 0, right: 0 };
  let [start, end, bottom] = [0, width, height];
  for (const { from, to, labels: names, full } of edges(states, shown)) {
    const line = curve(place.get(from), place.get(to), lanes, width);
    const enabled = from === current ? "enabled" : "";
    const text = shortened(
      clean(names.join(" | ")),
      line.anchor === "middle" ? LABEL_LEN_MAX : SIDE_LABEL_LEN_MAX,
    );
    const title = () => draw("title", {}, clean(full.join("\n")));
    lines.push(
      draw(
        "path",
        {
          class: `edge ${enabled}`,
          d: line.d,
          "marker-end": `url(#arrow-head${enabled && "-enabled"})`,
        },
        title(),
      ),
    );
    labels.push(
      draw(
        "text",
        { class: `label ${enabled}`, x: line.x, y: line.y, "text-anchor": line.anchor },
        text,
        title(),
      ),
    );
    const textWidth = text.length * 6.2;
    const span = {
      start: [0, textWidth],
      middle: [-textWidth / 2, textWidth / 2],
      end: [-textWidth, 0],
    }[line.anchor];
    start = Math.min(start, line.x + span[0]);
    end = Math.max(end, line.x + span[1]);
    bottom = Math.max(bottom, line.y + 6);
  }
  const nodes = shown.map((state) => {
    const { x, y } = place.get(state);
    const { action, peer } = states[state];
    const kind = state === current ? `${action} current` : action;
    const circle = [draw("circle", { cx: x, cy: y, r: RADIUS })];
    if (action === "end")
      circle.push(draw("circle", { class: "inner", cx: x, cy: y, r: RADIUS - 3.5 }));
    const description =
      action === "end" ? "end" : `${action}s ${action === "send" ? "to" : "from"} ${clean(peer)}`;
    const node = draw(
      "g",
      { class: `state ${kind}`, "data-state": state },
      ...circle,
      draw("text", { x, y: y + 4 }, state),
      draw("title", {}, `state ${state}: ${description}`),
    );
    if (state === current) node.setAttribute("aria-current", "true");
    return node;
  });
  const [wide, high] = [Math.ceil(end - start) + 12, Math.ceil(bottom)];
  const svg = draw(
    "svg",
    {
      class: "automaton",
      viewBox: `${Math.floor(start) - 6} 0 ${wide} ${high}`,
      width: wide,
      height: high,
      role: "img",
      "aria-label": `automaton of ${clean(name)}, in state ${current} of ${states.length}`,
    },
    ...lines,
    ...labels,
    ...nodes,
  );
  return { svg, omitted, width: wide };
}

const ARROW_HEAD = {
  viewBox: "0 0 8 8",
  refX: 1,
  refY: 4,
  markerWidth: 7,
  markerHeight: 7,
  orient: "auto",
};

/** Returns the arrow heads that the drawings refer to. */
export function arrowHeads() {
  const head = (id) => draw("marker", { id, ...ARROW_HEAD }, draw("path", { d: "M0 0L8 4L0 8z" }));
  return draw(
    "svg",
    { class: "arrow-heads", width: 0, height: 0, "aria-hidden": "true" },
    draw("defs", {}, head("arrow-head"), head("arrow-head-enabled")),
  );
}

/** Draws the automaton of each role of a session, with the current state highlighted. */
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
      const { svg, omitted, width } = automaton(states, role.state, role.role);
      // A drawing that is a little too wide is scaled down; a wider one gets its own line.
      card.style.flexBasis = `${Math.round(width * 0.8)}px`;
      card.append(make("div", "drawing", svg));
      if (omitted > 0) card.append(make("p", "faint", `${omitted} distant states are not shown`));
    }
    return card;
  });
}
