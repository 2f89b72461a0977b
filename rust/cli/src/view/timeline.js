// The scrubber: all steps on one line, with the density of rows and a mark at the step where the
// replay found a problem.
import { count, draw } from "./dom.js";

const HEIGHT = 26;

// The maximum number of parts in which rows are counted, each some pixels wide.
export const PARTS = 240;

export class Timeline {
  #steps = 0;
  #problem = null;
  #counts = [];

  constructor({ range, svg, onStep }) {
    Object.assign(this, { range, svg });
    range.addEventListener("input", () => onStep(Number(range.value)));
  }

  /** Sets the number of steps. */
  setSteps(steps) {
    this.#steps = steps;
    this.range.max = steps;
  }

  at(step) {
    this.range.value = step;
    this.range.setAttribute("aria-valuetext", `step ${count(step)} of ${count(this.#steps)}`);
  }

  /** Marks the step of a problem; null removes the mark. */
  markProblem(step) {
    this.#problem = step;
    this.#draw();
  }

  density(counts) {
    this.#counts = counts;
    this.#draw();
  }

  #draw() {
    const counts = this.#counts;
    const max = Math.max(1, ...counts);
    let d = `M0 ${HEIGHT}`;
    counts.forEach((rows, part) => {
      // Rare rows keep a visible minimum beside frequent ones.
      const y = rows === 0 ? HEIGHT : HEIGHT - 3 - (HEIGHT - 5) * Math.sqrt(rows / max);
      d += `L${part} ${y.toFixed(1)}L${part + 1} ${y.toFixed(1)}`;
    });
    const parts = [draw("path", { class: "density", d: `${d}L${counts.length} ${HEIGHT}z` })];
    if (this.#problem !== null) {
      const width = Math.max(1, counts.length);
      const x = this.#steps === 0 ? 0 : (this.#problem / this.#steps) * width;
      const thin = width / 200;
      const left = Math.max(0, Math.min(width - thin, x - thin / 2));
      const mark = draw("rect", { class: "problem", x: left, y: 0, width: thin, height: HEIGHT });
      mark.append(draw("title", {}, `problem at step ${count(this.#problem)}`));
      parts.push(mark);
    }
    this.svg.setAttribute("viewBox", `0 0 ${Math.max(1, counts.length)} ${HEIGHT}`);
    this.svg.replaceChildren(...parts);
  }
}
