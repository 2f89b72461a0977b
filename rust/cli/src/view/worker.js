// Runs the replay on its own thread and answers the page's requests, so the page never waits for
// the kernel.
//
// Page to worker: { id, ask, ...arguments }. Worker to page: { id, answer } or { id, error: {
// message, code, place } }, and, unrequested, { event: "progress", progress } during the first
// replay of the recording.
//
//   open     { script, wasm, recording }  the package's script (address or text), its module and
//            the recording (address or base64); answers { header, progress } before the replay
//   rows     { from, to, filter }  a window of rows
//   search   { text, from, filter, backwards }  the position of the next row with the text, or null
//   density  { parts, filter }  the number of rows in each part of the steps
//   seek     { place | step, by, filter, session }  moves to a row's place or to a step, then on by
//            `by` steps; answers the row and the state there
//   images   {}  the automata of all protocols so far
//   findings {}  the result of the replay

// The duration of a slice of the replay, in milliseconds. A request waits at most about this long.
const SLICE_MS = 24;
// The number of steps between two readings of the time.
const STEPS_AT_ONCE = 1000;
// The number of base64 characters decoded at once, a multiple of four. It bounds the temporary
// strings.
const DECODED_AT_ONCE = 1 << 20;

let replay;
// A panic leaves the module unusable: every later request fails with the panic's message.
let panic;

async function bytesOf(source) {
  if (source.url !== undefined) {
    const response = await fetch(source.url);
    if (!response.ok)
      throw new Error(
        `the recording cannot be fetched: ${response.status} ${await response.text()}`,
      );
    return new Uint8Array(await response.arrayBuffer());
  }
  const text = source.base64;
  const parts = [];
  for (let at = 0; at < text.length; at += DECODED_AT_ONCE) {
    const part = atob(text.slice(at, at + DECODED_AT_ONCE));
    parts.push(Uint8Array.from(part, (char) => char.charCodeAt(0)));
  }
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function progress() {
  return { steps: replay.steps, rows: replay.rowCount, over: replay.over };
}

// Replays for at most one slice, so that requests are handled in between.
function replaySlice() {
  try {
    const until = performance.now() + SLICE_MS;
    while (!replay.index(STEPS_AT_ONCE) && performance.now() < until);
  } catch (error) {
    panic = error;
    return self.postMessage({ event: "failed", error: errorData(error) });
  }
  self.postMessage({ event: "progress", progress: progress() });
  if (!replay.over) setTimeout(replaySlice);
}

const handlers = {
  async open({ script, wasm, recording }) {
    // Make the address of a text here: an address made by the page has another origin if the page
    // is a file.
    const address =
      script.url ?? URL.createObjectURL(new Blob([script.text], { type: "text/javascript" }));
    const { default: init, Replay } = await import(address);
    await init({ module_or_path: wasm.url ?? (await bytesOf(wasm)) });
    replay = new Replay(await bytesOf(recording));
    setTimeout(replaySlice);
    return { header: replay.header, progress: progress() };
  },

  rows: ({ from, to, filter }) => replay.rows(from, to, filter),

  search: ({ text, from, filter, backwards }) =>
    replay.search(text, from, filter, backwards) ?? null,

  density({ parts, filter }) {
    const steps = replay.steps;
    const counts = [];
    let before = 0;
    for (let part = 1; part <= parts; part += 1) {
      const rows = replay.rowsBefore(Math.floor((steps * part) / parts), filter);
      counts.push(rows - before);
      before = rows;
    }
    return { counts, steps };
  },

  seek({ place, step, by, filter, session }) {
    let row = null;
    let total;
    const at = (wanted) => {
      const window = replay.rows(wanted, wanted + 1, filter);
      total = window.total;
      return window.rows[0] ?? null;
    };
    if (place !== undefined) {
      row = at(place);
      if (row !== null) replay.seekRow(row.row);
    }
    if (step !== undefined) replay.seek(Math.max(0, Math.min(step, replay.steps)));
    if (by > 0) replay.forward(by);
    if (by < 0) replay.back(-by);
    if (place === undefined || by) {
      place = replay.rowsBefore(replay.step, filter) - 1;
      row = place < 0 ? (at(0), null) : at(place);
    }
    const seen = filter.session ?? row?.session ?? session ?? 0;
    return {
      step: replay.step,
      clock: replay.clock,
      sessions: replay.sessionCount,
      place: row === null ? -1 : place,
      total,
      row,
      detail: row === null ? null : (replay.detail(row.row) ?? null),
      session: replay.session(seen) ?? null,
      wanted: seen,
    };
  },

  detail: ({ row }) => replay.detail(row) ?? null,
  images: () => replay.images(),
  findings: () => replay.findings(),
};

function errorData(error) {
  return {
    message: String(error?.message ?? error),
    code: error?.code ?? null,
    place: error?.place ?? null,
  };
}

self.onmessage = async ({ data: { id, ask, ...rest } }) => {
  try {
    if (panic !== undefined) throw panic;
    self.postMessage({ id, answer: await handlers[ask](rest) });
  } catch (error) {
    if (error?.code === "panic") panic = error;
    self.postMessage({ id, error: errorData(error) });
  }
};
