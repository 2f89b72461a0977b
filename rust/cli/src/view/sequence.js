// The sequence diagram: the roles' lifelines beside the visible rows, with an arrow or a mark for
// each row.
import { clean, draw, make, shortened } from "./dom.js";
import { ROW_HEIGHT } from "./list.js";

// Widths in pixels.
const LANE_WIDTH = 116;
const LANE_WIDTH_MIN = 64;
const LETTER_WIDTH = 6.4;
// Further roles have no lifeline, so that the texts of the rows stay visible.
const LANES_MAX = 12;

const MESSAGES = new Set(["sent", "offered", "received", "chose"]);

/** Returns the class of a row: `bad`, `odd`, `good`, or an empty text. */
export function severity({ kind, text }) {
  if (kind === "faulted") return "bad";
  if (kind === "session_terminal") return text.endsWith(": closed") ? "good" : "odd";
  const odd = [
    "effect_failed",
    "effect_invalidated",
    "witness_expired",
    "timeout_issued",
    "cancellation_requested",
    "cancelled",
    "failure_branch_entered",
    "refused",
  ];
  return odd.includes(kind) ? "odd" : "";
}

export class Sequence {
  #roles = [];
  #lanes = new Map();
  #lane = LANE_WIDTH;

  constructor(svg, heads) {
    Object.assign(this, { svg, heads });
  }

  get width() {
    return this.#roles.length * this.#lane;
  }

  /** Sets the roles that have lifelines, and the width available for all of them. */
  roles(names, widthMax) {
    const known = names.slice(0, LANES_MAX);
    this.#lane = Math.max(
      LANE_WIDTH_MIN,
      Math.min(LANE_WIDTH, Math.floor(widthMax / Math.max(1, known.length))),
    );
    this.#roles = known;
    this.#lanes = new Map(known.map((name, lane) => [name, lane]));
    this.svg.style.width = `${this.width}px`;
    this.heads.style.width = `${this.width}px`;
    this.heads.replaceChildren(
      ...known.map((name, lane) => {
        const head = make("span", "lane", clean(name));
        head.style.left = `${lane * this.#lane}px`;
        head.style.width = `${this.#lane}px`;
        head.title = clean(name);
        return head;
      }),
    );
  }

  #x(lane) {
    return (lane + 0.5) * this.#lane;
  }

  /** Draws the visible rows, the first one's upper edge at `top`. */
  draw(rows, top, height) {
    const parts = this.#roles.map((_, lane) =>
      draw("line", { class: "life", x1: this.#x(lane), x2: this.#x(lane), y1: 0, y2: height }),
    );
    rows.forEach((row, at) => {
      if (row !== undefined) this.#row(row, top + at * ROW_HEIGHT, parts);
    });
    this.svg.setAttribute("height", height);
    this.svg.replaceChildren(...parts);
  }

  #row(row, top, parts) {
    const own = this.#lanes.get(row.role);
    const peer = this.#lanes.get(row.peer);
    const middle = top + ROW_HEIGHT / 2;
    if (MESSAGES.has(row.kind) && own !== undefined && peer !== undefined) {
      const receipt = row.kind === "received" || row.kind === "chose";
      const [from, to] = receipt ? [peer, own] : [own, peer];
      return this.#message(row, this.#x(from), this.#x(to), top, receipt, parts);
    }
    if (own === undefined) return;
    const x = this.#x(own);
    const className = `mark ${severity(row)} ${row.kind}`;
    switch (row.kind) {
      case "request":
      case "effect_issued":
        parts.push(draw("path", { class: className, d: `M${x} ${middle - 5}l5 5l-5 5l-5 -5z` }));
        break;
      case "halted":
        parts.push(
          draw("rect", { class: className, x: x - 5, y: middle - 2, width: 10, height: 4 }),
        );
        break;
      default:
        parts.push(draw("circle", { class: className, cx: x, cy: middle, r: 4 }));
    }
  }

  #message({ label }, from, to, top, receipt, parts) {
    const direction = Math.sign(to - from) || 1;
    const y = top + ROW_HEIGHT - 7;
    const className = receipt ? "receipt" : "arrow";
    parts.push(
      draw("line", { class: className, x1: from, x2: to - 8 * direction, y1: y, y2: y }),
      draw("path", {
        class: `head ${className}`,
        d: `M${to - direction} ${y}l${-9 * direction} -4v8z`,
      }),
    );
    const letters = Math.floor((Math.abs(to - from) - 18) / LETTER_WIDTH);
    if (label !== null && letters > 3) {
      const text = shortened(clean(label), letters);
      parts.push(draw("text", { class: `label ${className}`, x: (from + to) / 2, y: y - 5 }, text));
    }
  }
}
