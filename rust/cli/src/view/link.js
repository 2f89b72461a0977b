// The page's end of the connection to the worker. worker.js describes the messages.

export class Link {
  #worker;
  #waiting = new Map();
  #next = 1;
  /** The number of messages sent so far. */
  sent = 0;

  /** The number of requests without an answer. */
  get outstanding() {
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
  #next;

  constructor(run) {
    this.#run = run;
  }

  get busy() {
    return this.#busy;
  }

  /** Whether a further run is requested. */
  get pending() {
    return this.#next !== undefined;
  }

  request(argument, merge) {
    this.#next = this.#next && merge ? merge(this.#next, argument) : argument;
    if (!this.#busy) this.#drain();
  }

  async #drain() {
    this.#busy = true;
    try {
      while (this.#next !== undefined) {
        const argument = this.#next;
        this.#next = undefined;
        await this.#run(argument);
      }
    } finally {
      this.#busy = false;
    }
  }
}
