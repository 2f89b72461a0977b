// The scrubber: all steps on one line, with the density of rows and the places of failures.
import { count, draw } from "./dom.js";

const HEIGHT = 26;

export const PARTS = 240;

export class Timeline {
  #steps = 0;
  #break = null;
  #counts = [];

  constructor({ range, svg, onStep }) {
    Object.assign(this, { range, svg });
    range.addEventListener("input", () => onStep(Number(range.value)));
  }

  /** There are so many steps. */
  extent(steps) {
    this.#steps = steps;
    this.range.max = steps;
  }

  at(step) {
    this.range.value = step;
    this.range.setAttribute("aria-valuetext", `step ${count(step)} of ${count(this.#steps)}`);
  }

  /** Marks a step where something is wrong. */
  breakAt(step) {
    this.#break = step;
    this.#draw();
  }

  density(counts) {
    this.#counts = counts;
    this.#draw();
  }

  #draw() {
    const counts = this.#counts;
    const most = Math.max(1, ...counts);
    let d = `M0 ${HEIGHT}`;
    counts.forEach((rows, part) => {
      // Rare rows keep a visible minimum beside frequent ones.
      const y = rows === 0 ? HEIGHT : HEIGHT - 3 - (HEIGHT - 5) * Math.sqrt(rows / most);
      d += `L${part} ${y.toFixed(1)}L${part + 1} ${y.toFixed(1)}`;
    });
    const parts = [draw("path", { class: "density", d: `${d}L${counts.length} ${HEIGHT}z` })];
    if (this.#break !== null) {
      const width = Math.max(1, counts.length);
      const x = this.#steps === 0 ? 0 : (this.#break / this.#steps) * width;
      const thin = width / 200;
      const left = Math.max(0, Math.min(width - thin, x - thin / 2));
      const mark = draw("rect", { class: "break", x: left, y: 0, width: thin, height: HEIGHT });
      mark.append(draw("title", {}, `it breaks at step ${count(this.#break)}`));
      parts.push(mark);
    }
    this.svg.setAttribute("viewBox", `0 0 ${Math.max(1, counts.length)} ${HEIGHT}`);
    this.svg.replaceChildren(...parts);
  }
}
