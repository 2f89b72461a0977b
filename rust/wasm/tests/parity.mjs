// Runs the corpus in the module and compares the results with the native kernel's.
import { check, equal } from "./suite.mjs";

// The cases of one part whose results differ from the expected ones.
export function differing(got, expected) {
  const differ = [];
  for (let n = 0; n < Math.max(got.length, expected.length); n += 1) {
    if (got[n] !== expected[n]) differ.push(`case ${n}: ${got[n]}, expected ${expected[n]}`);
  }
  return differ;
}

const lines = (bytes) => new TextDecoder().decode(bytes).split("\n").slice(0, -1);

// Runs every part. Returns a summary in one line.
export async function corpus(parity, load, where) {
  const { parts } = JSON.parse(new TextDecoder().decode(await load("corpus.json")));
  check(parts.length >= 8, "there are too few parts");
  let cases = 0;
  const differ = [];
  for (const part of parts) {
    const got = parity.parityDigests(await load(`${part}.corpus`));
    const expected = lines(await load(`${part}.expected`));
    check(
      expected.length > 0 && expected.every((line) => /^[0-9a-f]{64} ./.test(line)),
      `${part}: no digests`,
    );
    cases += expected.length;
    differ.push(...differing(got, expected).map((line) => `${part}: ${line}`));
  }
  const figure = `${cases} cases, ${differ.length} differ in ${where}`;
  equal(differ.slice(0, 5), [], figure);
  return figure;
}

// Changes one digit of one expectation: exactly that case must differ.
export async function tampered(parity, load) {
  const got = parity.parityDigests(await load("waves.corpus"));
  const expected = lines(await load("waves.expected"));
  equal(differing(got, expected), []);
  const digit = expected[3][10] === "0" ? "1" : "0";
  expected[3] = expected[3].slice(0, 10) + digit + expected[3].slice(11);
  const differ = differing(got, expected);
  equal(differ.length, 1);
  check(differ[0].startsWith("case 3: "));
  equal(
    differing(got.slice(1), lines(await load("waves.expected"))).length,
    got.length,
    "a missing case is detected",
  );
}

// Checks how a panic appears in JavaScript.
export function panics(parity) {
  let thrown;
  try {
    parity.parityPanic();
  } catch (error) {
    thrown = error;
  }
  equal([thrown?.name, thrown?.code], ["AntiphonError", "panic"]);
  check(
    thrown.message.includes("asked to panic") && /parity\.rs:\d+/.test(thrown.place),
    `${thrown.message} ${thrown.place}`,
  );
}
