// Times the operations that a page waits for with a long recording:
// `node rust/wasm/bench/replay.mjs [ROUNDS]`, after `cargo xtask wasm`.
import { Machine, Replay, compile } from "../pkg/node.mjs";

const rounds = Number(process.argv[2] ?? 50_000);
const source = `global protocol Ping(role Client, role Server) {
  rec Loop {
    choice at Client {
      ping(Nat) from Client to Server;
      pong(Nat) from Server to Client;
      continue Loop;
    } or {
      stop() from Client to Server;
    }
  } }`;
let left = rounds;
const handle = ({ class: kind, result }) => {
  if (kind === "decide") return { ok: left-- > 0 ? "ping" : "stop" };
  if (kind === "produce") return { ok: result === "Unit" ? null : 7 };
};

// The processor time of this process in milliseconds, independent of other load.
const spent = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e3;
};

const timed = (what, run, times = 1) => {
  const start = spent();
  let result;
  for (let n = 0; n < times; n += 1) result = run(n);
  console.log(`${what}: ${((spent() - start) / times).toFixed(2)} ms`);
  return result;
};

const machine = new Machine({ record: true });
machine.open(compile(source), "bench");
timed("recording", () => machine.runSync(handle));
const bytes = machine.finishRecording();
const replay = new Replay(bytes);
let slices = 0;
let longest = 0;
timed("indexing", () => {
  for (let over = false; !over; slices += 1) {
    const start = spent();
    over = replay.index(20_000);
    longest = Math.max(longest, spent() - start);
  }
});
const { rows, steps, verdict } = replay.findings();
console.log(
  `${rows} rows, ${steps} steps, ${(bytes.length / 1e6).toFixed(1)} MB, ${verdict}; ` +
    `${slices} slices, longest ${longest.toFixed(1)} ms`,
);
let at = 1;
const random = (below) => (at = (at * 48271) % 2147483647) % below;
timed(
  "a window of 60 rows",
  () => {
    const from = random(rows - 60);
    return replay.rows(from, from + 60);
  },
  200,
);
timed(
  "the first window under another filter",
  (n) => replay.rows(0, 60, { kinds: [["sent", "chose"][n % 2]] }),
  10,
);
timed(
  "a window under the same filter",
  () => {
    const from = random(Math.floor(rows / 40));
    return replay.rows(from, from + 60, { role: "Server" });
  },
  200,
);
timed("the first window under a text", (n) => replay.rows(0, 60, { text: `#${1000 + n}:` }), 3);
timed("a search through everything", () => replay.search("no such text"), 3);
timed(
  "a seek to a random step, and the session there",
  () => (replay.seek(random(steps)), replay.session(0)),
  100,
);
timed("a step back", () => (replay.back(1), replay.session(0)), 50);
console.log(`${(process.memoryUsage().rss / 1e6).toFixed(0)} MB in total`);
