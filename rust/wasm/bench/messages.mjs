// Messages per second in Node: `node rust/wasm/bench/messages.mjs`, after
// `cargo xtask wasm --test`. To compare with the native machine at the same time:
// `cargo run --release -p antiphon-wasm --features parity --example messages`.
import { readFileSync } from "node:fs";
import { Image, Machine, compile } from "../pkg/node.mjs";

const MESSAGES = 200_000;
const ROUNDS = 15;

// Images, and the number of steps that the messages take, as in rust/machine/benches/messages.rs.
const bare = () => {
  const bytes = readFileSync(new URL("../../../target/wasm/parity/bare.image", import.meta.url));
  return { image: Image.fromBytes(bytes), steps: MESSAGES * 4 };
};
const delivered = () => {
  const source = `global protocol Delivered(role Client, role Server) {
    rec L { ping() from Client to Server; pong() from Server to Client; continue L; } }`;
  return { image: compile(source), steps: MESSAGES * 5 };
};

function measure(name, { image, steps }, handler) {
  const machine = new Machine();
  machine.open(image, "bench");
  const rates = [];
  for (let n = 0; n < ROUNDS; n += 1) {
    const start = process.hrtime.bigint();
    machine.runSync(handler, { steps });
    rates.push((MESSAGES * 1e9) / Number(process.hrtime.bigint() - start));
  }
  rates.sort((a, b) => a - b);
  const [median, best] = [rates[ROUNDS >> 1], rates[ROUNDS - 1]].map((rate) =>
    (rate / 1e6).toFixed(2),
  );
  console.log(`${name}: ${median} million messages/s, best ${best}`);
}

measure("no host calls", bare(), () => "later");
measure("deliveries to both hosts, handler in JavaScript", delivered(), () => undefined);
