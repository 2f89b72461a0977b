// Tests of the package that run both in Node and in browsers: `api` is the module, `load` reads a
// file of the repository. Nothing here depends on Node or on a browser.

export class Failed extends Error {}

export function check(condition, message) {
  if (!condition) throw new Failed(message ?? "a condition does not hold");
}

// A text that is the same for equal data, whatever the order of the fields.
function shown(value) {
  const plain = (_, v) => {
    if (typeof v === "bigint") return `${v}n`;
    if (v instanceof Uint8Array) return [...v];
    const isObject = v !== null && typeof v === "object" && !Array.isArray(v);
    return isObject
      ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)))
      : v;
  };
  return JSON.stringify(value, plain);
}

export function equal(got, expected, message = "") {
  check(
    shown(got) === shown(expected),
    `${message}\n  got      ${shown(got)}\n  expected ${shown(expected)}`,
  );
}

// Returns the `AntiphonError` that `what` throws, which must have the given code.
async function error(what, code) {
  let result;
  try {
    result = await what();
  } catch (thrown) {
    equal([thrown?.name, thrown?.code], ["AntiphonError", code], `${thrown?.message}`);
    check(thrown instanceof Error && typeof thrown.message === "string" && thrown.message !== "");
    check(thrown.place === null || typeof thrown.place === "string");
    return thrown;
  }
  throw new Failed(`no error, expected ${code}; got ${shown(result)}`);
}

const TYPED = `
  record Order { item: Text, count: Nat, kind: Kind }
  enum Kind { book, disc }
  global protocol Typed(role A, role B) {
    order(Order) from A to B;
    numbers(a: Nat, b: Int, c: Bool, d: Bytes) from B to A;
    many([Nat]) from A to B;
    maybe(Text?) from B to A;
  }`;

const PING = `
  global protocol Ping(role Client, role Server) {
    rec Loop {
      choice at Client {
        ping(Nat) from Client to Server;
        pong(Nat) from Server to Client;
        continue Loop;
      } or {
        stop() from Client to Server;
      }
    }
  }`;

// A host that answers synchronously and stops after the given number of rounds.
function host(rounds) {
  let left = rounds;
  return {
    delivered: [],
    handle(request) {
      if (request.class === "decide") return { ok: left-- > 0 ? "ping" : "stop" };
      if (request.class === "produce") return { ok: request.result === "Unit" ? null : 7 };
      this.delivered.push(request.label);
    },
  };
}

// The same host, but every answer is a promise.
function slow(rounds) {
  const inner = host(rounds);
  return { handle: async (request) => (await null, inner.handle(request)) };
}

function recorded(api, rounds, options = {}) {
  const machine = new api.Machine({
    record: { tool: "suite", source: PING, notes: [["a", "b"]] },
    ...options,
  });
  machine.open(api.compile(PING), "me");
  equal(machine.runSync(host(rounds)), { rest: "done" });
  return machine;
}

function replayed(api, bytes) {
  const replay = new api.Replay(bytes);
  while (!replay.index(1000));
  return replay;
}

const tests = [];
const test = (name, run) => tests.push({ name, run });

test("a compiled image is read back from its bytes", async (api, load) => {
  const source = new TextDecoder().decode(await load("docs/examples/two_buyer.anti"));
  const image = api.compile(source, { name: "two_buyer.anti" });
  equal([image.name, image.roles], ["TwoBuyer", ["Ann", "Bob", "Shop"]]);
  equal(image.source, source);
  const again = api.Image.fromBytes(image.bytes());
  equal(again.digest, image.digest);
  equal(again.source, undefined);
  const { roles, labels, operations } = image.describe();
  equal(labels, ["title", "quote", "share", "ok", "date", "quit"]);
  equal(roles[0].states[0], {
    action: "send",
    branches: [{ label: "title", next: 1, sort: "Text" }],
    peer: "Shop",
  });
  check(operations.some((operation) => operation.class === "decide"));
  check(/^\d+\.\d+\.\d+$/.test(api.version()));
});

test("errors in a text are reported as data and as text", async (api) => {
  const wrong = "global protocol X(role A, role B) {\n  hi() from A to C;\n}";
  const thrown = await error(() => api.compile(wrong, { name: "x.anti" }), "diagnostics");
  equal(thrown.place, "x.anti:2:18");
  const [{ code, severity, place, message }] = thrown.diagnostics;
  equal([code, severity, place.line, place.column], ["AP0103", "error", 2, 18]);
  check(message.includes("no role `C`") && thrown.message.includes("--> x.anti:2:18"));
  const checked = api.check(wrong);
  equal([checked.protocols, checked.diagnostics[0].code], [[], "AP0103"]);
  equal(api.check(PING).protocols, ["Ping"]);
  equal(
    api.format("global protocol X ( role A,role B ) { hi() from A to B; }").split("\n").length > 2,
    true,
  );
  await error(() => api.format("global protocol {"), "diagnostics");
});

test("an option selects one of several protocols, and imports need modules", async (api) => {
  const two =
    "global protocol X(role A, role B) { x() from A to B; } " +
    "global protocol Y(role A, role B) { y() from B to A; }";
  const thrown = await error(() => api.compile(two), "no_such_protocol");
  equal(thrown.protocols, ["X", "Y"]);
  equal(api.compile(two, { protocol: "Y" }).name, "Y");
  await error(() => api.compile(two, { protocol: "Z" }), "no_such_protocol");
  await error(() => api.compile("import lib.a; " + two, { protocol: "X" }), "diagnostics");
});

test("synchronous and promising handlers reach the same state", async (api) => {
  const results = [];
  for (const handler of [host(5), slow(5)]) {
    const machine = new api.Machine({ trace: true });
    machine.open(api.compile(PING), "me");
    equal(await machine.run(handler), { rest: "done" });
    results.push([machine.stepIndex, machine.stateDigest(), machine.traceDigest()]);
  }
  // With promises both roles can wait for their hosts at the same time, so the order of steps
  // differs.
  equal(results[0].slice(0, 2), results[1].slice(0, 2));
  const machine = new api.Machine({ trace: true });
  machine.open(api.compile(PING), "me");
  const handler = host(5);
  equal(
    machine.runSync((request) => handler.handle(request)),
    { rest: "done" },
  );
  equal([machine.stepIndex, machine.stateDigest(), machine.traceDigest()], results[0]);
});

test("promises of several sessions are awaited in any order", async (api) => {
  const machine = new api.Machine({ rows: true });
  const image = api.compile("global protocol T(role A, role B) { t(Text) from A to B; }");
  for (const owner of ["one", "two", "three"]) machine.open(image, owner);
  const answers = [];
  const opened = new Promise((resolve) => answers.push(resolve));
  const handler = {
    async handle(request) {
      if (request.class === "deliver") return;
      if (request.session === 0) await opened;
      if (request.session === 2) answers[0]();
      return { ok: `from ${request.session}` };
    },
  };
  equal(await machine.run(handler), { rest: "done" });
  const sent = machine.rows(0, 100, { kinds: ["sent"] }).rows.map((row) => row.session);
  equal([...sent].sort(), [0, 1, 2]);
  check(sent.indexOf(0) > sent.indexOf(1), "the delayed session continues later");
});

test("deferred requests are answered later", async (api) => {
  const machine = new api.Machine();
  const session = machine.open(api.compile(PING), "me");
  equal(
    machine.runSync(() => "later"),
    { rest: "idle" },
  );
  const [request] = machine.requests();
  equal(
    [request.session, request.class, request.labels, request.role],
    [session, "decide", ["ping", "stop"], "Client"],
  );
  equal([request.peer, request.attempt, request.deadline, request.args], ["Server", 0, null, []]);
  machine.answer(request, { ok: "stop" });
  await error(() => machine.answer(request, { ok: "stop" }), "refused");
  equal(machine.runSync(host(0)), { rest: "done" });
  equal(machine.sessions(), [
    {
      session: 0,
      protocol: "Ping",
      owner: "me",
      phase: "closed",
      events: machine.sessions()[0].events,
    },
  ]);
});

test("an input wakes a waiting run", async (api) => {
  const machine = new api.Machine({ config: { effectBudget: 100 } });
  machine.open(api.compile(PING), "me");
  const run = machine.run({ handle: () => new Promise(() => {}) });
  await null;
  await new Promise((resolve) => setTimeout(resolve, 0));
  equal(machine.nextDeadline, 100);
  equal(machine.advanceClock(100), 1);
  equal(await run, { rest: "done" });
  equal(machine.session(0).phase, "faulted");
});

test("a run can be split into slices", async (api) => {
  const whole = recorded(api, 20);
  const machine = new api.Machine();
  machine.open(api.compile(PING), "me");
  const handler = slow(20);
  let slices = 0;
  while ((await machine.run(handler, { steps: 7 })).rest !== "done") slices += 1;
  check(slices > 10);
  equal(machine.stateDigest(), whole.stateDigest());
});

test("the machine can be stepped by hand", async (api) => {
  const machine = new api.Machine();
  machine.open(api.compile(PING), "me");
  const handler = host(2);
  let steps = 0;
  for (;;) {
    const { rest } = machine.step();
    for (const request of machine.requests()) machine.answer(request, handler.handle(request));
    if (rest === "done") break;
    check(rest === "running" || machine.requests().length === 0, rest);
    if (rest === "running") steps += 1;
  }
  equal(machine.stepIndex, steps);
  equal(machine.stateDigest(), recorded(api, 2).stateDigest());
});

test("values of every sort are converted both ways", async (api) => {
  const machine = new api.Machine();
  machine.open(api.compile(TYPED), "me");
  const payloads = {
    order: { item: "a\u{1F600}", count: 2 ** 53 - 1, kind: "disc" },
    numbers: { a: 2n ** 64n - 1n, b: -(2n ** 63n), c: true, d: new Uint8Array([0, 255]) },
    many: [1, 2n, 3],
    maybe: [],
  };
  const delivered = {};
  const handler = {
    handle(request) {
      if (request.class === "produce") return { ok: payloads[request.label] };
      delivered[request.label] = request.args;
    },
  };
  equal(machine.runSync(handler), { rest: "done" }, JSON.stringify(machine.session(0)));
  equal(delivered.order, [payloads.order]);
  equal(
    delivered.numbers.length === 1 ? Object.values(delivered.numbers[0]) : delivered.numbers,
    Object.values(payloads.numbers),
  );
  equal([delivered.many, delivered.maybe], [[[1, 2, 3]], [[]]]);
});

test("a value of the wrong sort is reported and leaves the effect outstanding", async (api) => {
  const cases = [
    [{ item: "x", count: 1, kind: "tape" }, "outcome.ok.kind"],
    [{ item: "x", count: 1 }, "outcome.ok.kind"],
    [{ item: "x", count: -1 }, "outcome.ok.count"],
    [{ item: "x", count: 1.5 }, "outcome.ok.count"],
    [{ item: "x", count: 2 ** 53 }, "outcome.ok.count"],
    [{ item: "x", count: 2n ** 64n }, "outcome.ok.count"],
    [{ item: "\ud800", count: 1 }, "outcome.ok.item"],
    [{ item: null, count: 1 }, "outcome.ok.item"],
    [["x"], "outcome.ok"],
    ["x", "outcome.ok"],
    [null, "outcome.ok"],
  ];
  const machine = new api.Machine();
  machine.open(api.compile(TYPED), "me");
  machine.runSync(() => "later");
  const [request] = machine.requests();
  for (const [value, place] of cases) {
    const thrown = await error(() => machine.answer(request, { ok: value }), "wrong_value");
    equal(thrown.place, place);
  }
  machine.answer(request, { ok: ["x", 1, "book"] });
});

test("errors in handlers are reported and leave the machine usable", async (api) => {
  const fresh = () => {
    const machine = new api.Machine();
    machine.open(api.compile(PING), "me");
    return machine;
  };
  const boom = () => {
    throw new TypeError("boom");
  };
  const machine = fresh();
  check((await error(() => machine.runSync(boom), "handler_threw")).message.includes("boom"));
  equal(machine.requests().length, 1);
  check(
    (await error(() => fresh().run(async () => boom()), "handler_threw")).message.includes("boom"),
  );
  await error(() => fresh().runSync(async () => ({ ok: "stop" })), "promise_in_sync");
  for (const outcome of [
    5,
    "x",
    null,
    {},
    { ok: 1, fail: "busy" },
    { fail: "tired" },
    { fail: "busy", detail: 5 },
  ]) {
    await error(() => fresh().runSync(() => outcome), "bad_argument");
    await error(() => fresh().run(async () => outcome), "bad_argument");
  }
  await error(() => fresh().runSync(() => ({ ok: "pong" })), "wrong_value");
  for (const handler of [undefined, null, 5, {}, { handle: 5 }]) {
    await error(() => fresh().runSync(handler), "bad_argument");
    await error(() => fresh().run(handler), "bad_argument");
  }
  const hostile = new Proxy(
    {},
    {
      get: () => {
        throw 1;
      },
      has: () => true,
    },
  );
  await error(() => fresh().runSync(() => hostile), "bad_argument");
  const inner = fresh();
  await error(() => inner.runSync(() => (inner.runSync(() => "later"), "later")), "handler_threw");
  const getter = fresh();
  const outcome = {
    get ok() {
      return getter.sessionCount === 1 ? "stop" : "ping";
    },
  };
  equal(
    getter.runSync((r) =>
      r.class === "decide" ? outcome : r.class === "produce" ? { ok: null } : undefined,
    ),
    { rest: "done" },
  );
});

test("a failure without a branch for it faults the session", async (api) => {
  for (const fail of ["denied", "unavailable", "internal"]) {
    const machine = new api.Machine();
    machine.open(api.compile(PING), "me");
    equal(
      machine.runSync(() => ({ fail, detail: "why" })),
      { rest: "done" },
    );
    equal(machine.session(0).phase, "faulted");
  }
});

test("arguments are checked", async (api) => {
  const machine = new api.Machine();
  const hostile = [null, 5, "x", {}, [], new Uint8Array(0), () => 1, 10n, Symbol("x"), new Date()];
  for (const value of hostile) {
    if (!(value instanceof Uint8Array)) await error(() => new api.Replay(value), "bad_argument");
    if (!(value instanceof Uint8Array))
      await error(() => api.Image.fromBytes(value), "bad_argument");
    if (typeof value !== "string") await error(() => api.compile(value), "bad_argument");
  }
  await error(() => api.compile("\udc00"), "bad_argument");
  await error(() => api.compile("", { nam: "x" }), "bad_argument");
  await error(() => api.compile("", { modules: 5 }), "bad_argument");
  for (const options of [
    5,
    "x",
    { config: 5 },
    { config: { policy: "fair" } },
    { config: { determinism: "replay" } },
    { config: { sessionsMax: -1 } },
    { config: { bufferLenMax: 2 ** 40 } },
    { confg: {} },
    { record: 5 },
    { config: { witnessTtl: 10n } },
  ]) {
    await error(() => new api.Machine(options), "bad_argument");
  }
  for (const ticks of [-1, 1.5, NaN, Infinity, "1", null, undefined, 2n ** 64n]) {
    await error(() => machine.advanceClock(ticks), "bad_argument");
  }
  machine.advanceClock(2n ** 64n - 1n);
  equal(machine.clock, 2n ** 64n - 1n);
  await error(() => machine.advanceClock(1), "refused");
  await error(() => machine.cancel(3, "me"), "refused");
  for (const session of ["0", -1, 2 ** 32, null])
    await error(() => machine.cancel(session, "me"), "bad_argument");
  await error(() => machine.answer({}, { ok: 1 }), "bad_argument");
  await error(() => machine.answer({ session: 2 ** 40, effect: 0 }, { ok: 1 }), "bad_argument");
  await error(() => machine.answer({ session: 0, effect: 0 }, { ok: 1 }), "refused");
  await error(() => machine.rows(0, 1), "not_kept");
  await error(() => machine.finishRecording(), "not_kept");
  equal(machine.session(7), undefined);
  equal(machine.traceDigest(), undefined);
  const one = new api.Machine({ config: { sessionsMax: 1 } });
  one.open(api.compile(PING));
  await error(() => one.open(api.compile(PING)), "refused");
  await error(() => one.open(api.compile(PING), "x".repeat(300)), "refused");
});

test("hostile texts and images end in errors", async (api) => {
  const deep = "(".repeat(100_000);
  for (const text of [
    "",
    "\0",
    deep,
    "global protocol X(role A) {" + "rec L { ".repeat(20_000),
    "{".repeat(200_000),
    "global protocol X(role A, role B) { x(" + "List<".repeat(50_000),
    "a".repeat(2 << 20),
  ]) {
    equal(api.check(text).protocols, []);
  }
  const image = api.compile(PING).bytes();
  for (let at = 0; at < image.length; at += 1) {
    for (const flip of [1, 0x80, 0xff]) {
      const bent = image.slice();
      bent[at] ^= flip;
      let read;
      try {
        read = api.Image.fromBytes(bent);
      } catch (thrown) {
        equal(thrown.code, "bad_image");
        continue;
      }
      equal(read.bytes(), bent, "an accepted image encodes to its input");
    }
  }
  await error(() => api.Image.fromBytes(new Uint8Array([0x88, 0xfb])), "bad_image");
  await error(
    () => api.Image.fromBytes(new Uint8Array([0x88, 0x7b, 255, 255, 255, 255, 255, 255, 255, 255])),
    "bad_image",
  );
  await error(
    () => api.Image.fromBytes(new Uint8Array([0x9b, 0, 0, 1, 0, 0, 0, 0, 0])),
    "bad_image",
  );
});

test("a recorded run replays equal", async (api) => {
  const machine = recorded(api, 3, { trace: true, rows: true });
  const bytes = machine.finishRecording();
  await error(() => machine.finishRecording(), "not_kept");
  const replay = replayed(api, bytes);
  equal(replay.header, {
    tool: "suite",
    source: PING,
    notes: [["a", "b"]],
    policy: "cooperative",
    determinism: "full",
  });
  const found = replay.findings();
  equal(
    [found.verdict, found.tail, found.steps, found.sessions],
    ["equal", { kind: "sealed" }, machine.stepIndex, 1],
  );
  equal([found.state, found.trace], [machine.stateDigest(), machine.traceDigest()]);
  equal(replay.rows(0, 1000), machine.rows(0, 1000), "a replay has the same rows as the run");
  replay.seek(found.steps);
  equal(replay.stateDigest(), found.state);
});

test("native recordings replay with the same digests", async (api, load) => {
  const { recordings } = JSON.parse(new TextDecoder().decode(await load("corpus.json")));
  check(recordings.length >= 8);
  for (const { path, equal: same, state, trace, ...counts } of recordings) {
    const replay = replayed(api, await load(path));
    const found = replay.findings();
    equal(
      [found.verdict, found.state, found.trace],
      [same ? "equal" : "diverged", state, trace],
      path,
    );
    for (const [what, count] of Object.entries(counts))
      equal(found[what], count, `${path}: ${what}`);
  }
});

test("row details: full values and the other rows of the effect", async (api) => {
  const source = `
  record Note { who: Text, mood: Mood, raw: Bytes }
  enum Mood { glad, sad }
  global protocol Tell(role A, role B) { note(Note) from A to B; }`;
  const who = `${"long ".repeat(100)}"end"`;
  const note = { who, mood: "sad", raw: new Uint8Array([104, 105]) };
  const machine = new api.Machine({ record: true });
  machine.open(api.compile(source), "me");
  machine.runSync({ handle: ({ class: kind }) => (kind === "produce" ? { ok: note } : undefined) });
  const replay = replayed(api, machine.finishRecording());
  const { rows } = replay.rows(0, 100);
  const whole = `{\n  who: ${JSON.stringify(who)},\n  mood: sad,\n  raw: b"hi"\n}`;
  const of = (kind, nth = 0) => rows.filter((row) => row.kind === kind)[nth].row;
  for (const [row, what] of [
    [of("sent"), "payload"],
    [of("received"), "payload"],
    [of("input", 1), "result"],
    [of("effect_resolved"), "result"],
    [of("request", 1), "arguments"],
  ]) {
    const detail = replay.detail(row);
    equal(
      [detail.what, detail.values.map(({ text, cut }) => [text, cut])],
      [what, [[whole, false]]],
      rows[row].text,
    );
  }
  const related = {
    issued: of("effect_issued"),
    request: of("request"),
    answer: of("input", 1),
    ended: of("effect_resolved"),
  };
  for (const row of Object.values(related))
    equal(replay.detail(row).related, related, rows[row].text);
  equal(replay.detail(of("closed")).values, []);
  equal(replay.detail(rows.length), undefined);
  equal(
    replay.images().map(({ name }) => name),
    ["Tell"],
  );
  // Also far from the start, independent of the inspected step.
  const long = replayed(api, recorded(api, 3000).finishRecording());
  const { total } = long.rows(0, 0);
  for (let row = 0; row < total; row += 997) {
    const [{ text, kind }] = long.rows(row, row + 1).rows;
    const { effect } = long.detail(row);
    const number = /^(?:effect |\d+\.)(\d+)/.exec(text);
    equal(effect, number === null || kind === "opened" ? null : Number(number[1]), text);
  }
});

test("time travel: seeking reaches the same state from any step", async (api) => {
  const replay = replayed(api, recorded(api, 600).finishRecording());
  const last = replay.steps;
  check(last > 2500, `${last} steps`);
  const states = [];
  for (replay.seek(0); ; replay.forward()) {
    states.push(replay.stateDigest());
    equal(replay.step, states.length - 1);
    if (replay.step === last) break;
  }
  let at = 12345;
  for (let n = 0; n < 300; n += 1) {
    at = (at * 1103515245 + 12345) % 2147483648;
    const step = at % (last + 1);
    replay.seek(step);
    equal([replay.step, replay.stateDigest()], [step, states[step]]);
  }
  equal(replay.back(5), Math.max(0, replay.step));
  equal(replay.back(1e9), 0);
  equal(replay.forward(1e9), last);
  await error(() => replay.seek(last + 1), "beyond_end");
  for (const step of [-1, 1.5, NaN, "1", null, undefined, {}])
    await error(() => replay.seek(step), "bad_argument");
});

test("time travel moves by whole waves", async (api, load) => {
  const replay = replayed(api, await load("fixtures/recordings/v1/threaded.rec"));
  const last = replay.steps;
  const states = new Map();
  for (replay.seek(0); ; replay.forward()) {
    states.set(replay.step, replay.stateDigest());
    if (replay.step === last) break;
  }
  check(states.size > 3 && states.size < last, `${states.size} places in ${last} steps`);
  const places = [...states.keys()];
  for (const place of places.toReversed()) {
    equal([replay.step, replay.stateDigest()], [place, states.get(place)]);
    replay.back();
  }
  for (let step = 0; step <= last; step += 1) {
    replay.seek(0);
    replay.seek(step);
    equal(
      [step, replay.step],
      [step, places.find((place) => place >= step)],
      "from an earlier step",
    );
    replay.seek(last);
    replay.seek(step);
    equal(
      [step, replay.step],
      [step, places.findLast((place) => place <= step)],
      "from a later step",
    );
  }
});

test("rows: windows, filters, search and the position of a step", async (api) => {
  const replay = replayed(api, recorded(api, 1500).finishRecording());
  const count = replay.rowCount;
  check(count > 8192, "more than two blocks of rows");
  const all = [];
  for (let from = 0; from < count; from += 1000) all.push(...replay.rows(from, from + 1000).rows);
  equal(all.length, count);
  check(all.every((row, n) => row.row === n));
  check(
    all.every((row, n) => n === 0 || all[n - 1].after <= row.after),
    "rows are in the order of steps",
  );
  const filters = [
    { kinds: ["sent", "offered"] },
    { role: "Server" },
    { session: 0, role: "Client", kinds: ["chose"] },
    { text: "PONG" },
    { session: 1 },
    { role: "Nobody" },
    { kinds: [] },
  ];
  const fits =
    ({ session, role, kinds, text }) =>
    (row) =>
      (session === undefined || row.session === session) &&
      (role === undefined || row.role === role || row.peer === role) &&
      (kinds === undefined || kinds.includes(row.kind)) &&
      (text === undefined || row.text.toLowerCase().includes(text.toLowerCase()));
  for (const filter of filters) {
    const expected = all.filter(fits(filter));
    const { total, from, rows } = replay.rows(3, 13, filter);
    equal([total, from], [expected.length, Math.min(3, expected.length)], shown(filter));
    equal(rows, expected.slice(3, 13));
    const step = 1000;
    equal(replay.rowsBefore(step, filter), expected.filter((row) => row.after <= step).length);
    const found = expected.findIndex((row, n) => n >= 5 && row.text.includes("#7"));
    equal(replay.search("#7", 5, filter), found < 0 ? undefined : found);
  }
  const before = all.slice(0, 4000).findLastIndex((row) => row.text.includes("stop"));
  equal(replay.search("stop", 4000, undefined, true), before < 0 ? undefined : before);
  equal(replay.search("no such text", 0), undefined);
  const { row, after } = all.find(({ kind }) => kind === "received");
  replay.seekRow(row);
  equal(replay.step, after);
  equal(replay.sessions()[0].rows, all.filter((row) => row.session === 0).length);
  equal(replay.rows(5, 2).rows, []);
  equal(replay.rows(1e9, 1e9 + 9), { total: count, from: count, rows: [] }, "beyond the end");
});

test("invalid windows and filters are rejected", async (api) => {
  const replay = replayed(api, recorded(api, 3).finishRecording());
  await error(() => replay.rows(0, 1e9), "bad_argument");
  await error(() => replay.rows(-1, 5), "bad_argument");
  await error(() => replay.rows(0, 5, { kinds: ["nothing"] }), "bad_argument");
  await error(() => replay.rows(0, 5, { kind: "sent" }), "bad_argument");
  await error(() => replay.rows(0, 5, "x"), "bad_argument");
  await error(() => replay.search(5), "bad_argument");
  await error(() => replay.seekRow(1e6), "beyond_end");
  await error(() => replay.session("x"), "bad_argument");
  equal(replay.session(99), undefined);
});

test("a recording can be inspected while it is indexed in slices", async (api) => {
  const replay = new api.Replay(recorded(api, 200).finishRecording());
  equal([replay.index(100), replay.over, replay.steps], [false, false, 100]);
  equal(replay.findings().verdict, "running");
  await error(() => replay.seek(101), "beyond_end");
  replay.seek(50);
  const rows = replay.rowCount;
  check(rows > 0);
  equal(replay.rows(0, 1, { kinds: ["sent"] }).total < rows, true);
  const { total } = replay.rows(0, 1, { role: "Client" });
  equal(replay.index(), true);
  check(replay.rows(0, 1, { role: "Client" }).total > total, "a filter's rows grow with the index");
  equal([replay.step, replay.findings().verdict], [50, "equal"]);
});

test("changed and truncated recordings are reported with the place", async (api) => {
  const sound = recorded(api, 3).finishRecording();
  let damaged = 0;
  for (let at = 0; at < sound.length; at += 1) {
    const bent = sound.slice();
    bent[at] ^= 0x40;
    let replay;
    try {
      replay = new api.Replay(bent);
    } catch (thrown) {
      check(
        ["not_a_recording", "version", "damaged", "no_header"].includes(thrown.code),
        thrown.code,
      );
      check(/^(byte|entry) \d+$/.test(thrown.place), thrown.place);
      damaged += 1;
      continue;
    }
    while (!replay.index(1000));
    const { verdict, tail } = replay.findings();
    equal(
      [verdict, tail.kind],
      ["equal_up_to", at >= tail.offset ? "damaged" : tail.kind],
      `byte ${at}`,
    );
    check(tail.kind === "damaged" || tail.kind === "torn", `byte ${at}: ${tail.kind}`);
    check(
      at >= tail.offset && (tail.kind === "torn" || at < tail.offset + tail.len),
      `byte ${at} of ${shown(tail)}`,
    );
    damaged += 1;
  }
  equal(damaged, sound.length);
  for (let len = 0; len < sound.length; len += 7) {
    let replay;
    try {
      replay = new api.Replay(sound.subarray(0, len));
    } catch (thrown) {
      equal(thrown.code, "no_header");
      continue;
    }
    while (!replay.index(1000));
    check(["open", "torn"].includes(replay.findings().tail.kind));
  }
});

test("names from a recording are only text", async (api) => {
  const source =
    "global protocol P(role constructor, role B) { __proto__(Text) from constructor to B; }";
  let image;
  try {
    image = api.compile(source);
  } catch (thrown) {
    equal(thrown.code, "diagnostics");
    return;
  }
  const machine = new api.Machine({ rows: true });
  machine.open(image, "<script>");
  equal(
    machine.runSync((r) => (r.class === "produce" ? { ok: "x" } : undefined)),
    { rest: "done" },
  );
  equal(machine.rows(0, 100, { kinds: ["sent"] }).rows[0].role, "constructor");
  equal({}.polluted, undefined);
});

export { tests };
