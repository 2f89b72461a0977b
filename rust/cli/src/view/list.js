// A list of up to millions of rows: the scrollbar covers every row, elements exist only for visible
// rows, and the worker returns windows of rows.
import { make } from "./dom.js";
import { Latest } from "./link.js";

export const ROW_HEIGHT = 26;
// Browsers lay out at most about 17 to 33 million pixels. Beyond this height the scrollbar is
// scaled.
const HEIGHT_MAX = 10_000_000;
// The number of rows in a cached block: more than most screens show.
const BLOCK_LEN = 128;
// The maximum number of cached blocks, which bounds the memory.
const BLOCKS_MAX = 64;

export class List {
  total = 0;
  chosen = -1;
  /** The distance from the top of an unscaled list to the first visible pixel. */
  #offset = 0;
  #blocks = new Map();
  #drawing = false;
  #expected = -1;
  #generation = 0;
  #fetch;

  /**
   * @param scroller the element that scrolls; in it, `space` has the full height, `pane` always
   *   stays visible, and `window` holds the elements of the rows
   * @param rowsOf returns rows: (from, to) => Promise<{ total, rows }>
   * @param rowElement returns the element of a row: (row or undefined, place) => element
   * @param afterDraw is called after the rows are drawn: (rows, first, y of the first) => void
   */
  constructor({ scroller, space, pane, window: rows, rowsOf, rowElement, afterDraw, onChoose }) {
    Object.assign(this, { scroller, space, pane, rows, rowsOf, rowElement, afterDraw });
    this.#fetch = new Latest(() => this.#fetchVisible());
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    scroller.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    rows.addEventListener("mousedown", (event) => {
      const element = event.target.closest("[data-place]");
      if (element !== null && event.button === 0) onChoose(Number(element.dataset.place));
    });
    new ResizeObserver(() => this.resize()).observe(scroller);
  }

  get #height() {
    return this.total * ROW_HEIGHT;
  }

  get #view() {
    return this.scroller.clientHeight;
  }

  get #offsetMax() {
    return Math.max(0, this.#height - this.#view);
  }

  get #scrollMax() {
    return Math.max(0, Math.min(this.#height, HEIGHT_MAX) - this.#view);
  }

  get #scaled() {
    return this.#height > HEIGHT_MAX;
  }

  get page() {
    return Math.max(1, Math.floor(this.#view / ROW_HEIGHT) - 1);
  }

  /** Sets the number of rows. `replaced`: the rows are not the same as before. */
  resize(total = this.total, replaced = false) {
    if (replaced) {
      this.#generation += 1;
      this.#blocks.clear();
    }
    // The last block may have grown.
    if (!replaced && total !== this.total) this.#blocks.delete(Math.floor(this.total / BLOCK_LEN));
    this.total = total;
    this.space.style.height = `${Math.min(this.#height, HEIGHT_MAX)}px`;
    this.pane.style.height = `${this.#view}px`;
    this.#moveTo(this.#offset);
  }

  row(place) {
    return this.#blocks.get(Math.floor(place / BLOCK_LEN))?.[place % BLOCK_LEN];
  }

  /** Highlights a row, and scrolls it into view if `reveal`. */
  choose(place, reveal = true) {
    this.chosen = place;
    if (reveal && place >= 0) {
      const top = place * ROW_HEIGHT;
      const margin = Math.min(2 * ROW_HEIGHT, this.#view / 4);
      if (top - margin < this.#offset) this.#moveTo(top - margin);
      else if (top + ROW_HEIGHT + margin > this.#offset + this.#view) {
        this.#moveTo(top + ROW_HEIGHT + margin - this.#view);
      }
    }
    this.refresh();
  }

  #moveTo(offset) {
    this.#offset = Math.max(0, Math.min(offset, this.#offsetMax));
    const share = this.#offsetMax === 0 ? 0 : this.#offset / this.#offsetMax;
    this.scroller.scrollTop = this.#scaled ? share * this.#scrollMax : this.#offset;
    // Browsers round the value.
    this.#expected = this.scroller.scrollTop;
    this.refresh();
  }

  #scrolled() {
    const top = this.scroller.scrollTop;
    if (Math.abs(top - this.#expected) >= 1) {
      const share = this.#scrollMax === 0 ? 0 : Math.min(1, top / this.#scrollMax);
      this.#offset = this.#scaled ? share * this.#offsetMax : top;
      this.#expected = top;
    }
    this.refresh();
  }

  // With a scaled scrollbar the wheel would skip rows.
  #wheel(event) {
    if (!this.#scaled || event.ctrlKey || event.deltaY === 0) return;
    event.preventDefault();
    const unit = [1, ROW_HEIGHT, this.#view][event.deltaMode];
    this.#moveTo(this.#offset + event.deltaY * unit);
  }

  refresh() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#draw();
    });
  }

  get #visible() {
    const first = Math.floor(this.#offset / ROW_HEIGHT);
    const last = Math.min(this.total, Math.ceil((this.#offset + this.#view) / ROW_HEIGHT));
    return [first, last];
  }

  #draw() {
    const [first, last] = this.#visible;
    const start = first * ROW_HEIGHT - this.#offset;
    const drawn = document.createDocumentFragment();
    const rows = [];
    let missing = false;
    for (let place = first; place < last; place += 1) {
      const row = this.row(place);
      missing ||= row === undefined;
      const element =
        row === undefined ? make("div", "row waiting", "…") : this.rowElement(row, place);
      element.setAttribute("role", "row");
      element.setAttribute("aria-rowindex", place + 1);
      element.setAttribute("aria-selected", place === this.chosen);
      element.id = `row-${place}`;
      element.dataset.place = place;
      if (place === this.chosen) element.classList.add("chosen");
      element.style.top = `${start + (place - first) * ROW_HEIGHT}px`;
      drawn.append(element);
      rows.push(row);
    }
    this.rows.replaceChildren(drawn);
    this.scroller.setAttribute("aria-rowcount", this.total);
    const seen = this.chosen >= first && this.chosen < last;
    if (seen) this.scroller.setAttribute("aria-activedescendant", `row-${this.chosen}`);
    else this.scroller.removeAttribute("aria-activedescendant");
    this.afterDraw(rows, first, start);
    if (missing) this.#fetch.request(true);
  }

  async #fetchVisible() {
    const [first, last] = this.#visible;
    const generation = this.#generation;
    const blocks = [];
    for (let block = Math.floor(first / BLOCK_LEN); block * BLOCK_LEN < last; block += 1) {
      if (
        !this.#blocks.has(block) ||
        this.row(Math.min(last, (block + 1) * BLOCK_LEN) - 1) === undefined
      )
        blocks.push(block);
    }
    if (blocks.length === 0) return;
    const from = blocks[0] * BLOCK_LEN;
    const { total, rows } = await this.rowsOf(from, (blocks.at(-1) + 1) * BLOCK_LEN);
    if (generation !== this.#generation) return;
    for (let at = 0; at < rows.length; at += BLOCK_LEN) {
      this.#blocks.set((from + at) / BLOCK_LEN, rows.slice(at, at + BLOCK_LEN));
    }
    while (this.#blocks.size > BLOCKS_MAX) this.#blocks.delete(this.#blocks.keys().next().value);
    if (total < this.total) this.total = total;
    this.refresh();
  }
}
