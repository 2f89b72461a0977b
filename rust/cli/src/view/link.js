// The page's end of the connection to the worker. worker.js describes the messages.

export class Link {
  #worker;
  #waiting = new Map();
  #next = 1;
  /** How many messages were sent so far. */
  sent = 0;

  /** How many of them have no answer yet. */
  get open() {
    return this.#waiting.size;
  }

  constructor(worker, onEvent) {
    this.#worker = worker;
    worker.onmessage = ({ data }) => {
      if (data.id === undefined) return onEvent(data);
      const { resolve, reject } = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if (data.error === undefined) resolve(data.answer);
      else reject(Object.assign(new Error(data.error.message), data.error));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      onEvent({
        event: "failed",
        error: { message: event.message || "the worker did not start", code: null, place: null },
      });
    };
  }

  ask(ask, rest = {}) {
    const id = this.#next;
    this.#next += 1;
    this.sent += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, ask, ...rest });
    });
  }
}

/**
 * Runs one task at a time. Of the requests made during a run, only the last one is run next: a user
 * who scrolls or holds a key wants to see the final position, not every position on the way.
 */
export class Latest {
  #run;
  #busy = false;
  #wanted;

  constructor(run) {
    this.#run = run;
  }

  get busy() {
    return this.#busy;
  }

  /** Whether something is wanted that was not begun. */
  get more() {
    return this.#wanted !== undefined;
  }

  want(argument, merge) {
    this.#wanted = this.#wanted && merge ? merge(this.#wanted, argument) : argument;
    if (!this.#busy) this.#go();
  }

  async #go() {
    this.#busy = true;
    try {
      while (this.#wanted !== undefined) {
        const argument = this.#wanted;
        this.#wanted = undefined;
        await this.#run(argument);
      }
    } finally {
      this.#busy = false;
    }
  }
}
