// Makes recordings for the tests with the package.

const PING = `
global protocol Ping(role Client, role Server) {
  rec Loop {
    choice at Client {
      ping(Nat) from Client to Server;
      pong(Text) from Server to Client;
      continue Loop;
    } or {
      stop() from Client to Server;
    }
  }
}`;

const GREET = `
global protocol Greet(role Guest, role Host) {
  name(Text) from Guest to Host;
  welcome(Text) from Host to Guest;
}`;

/** A handler that answers `rounds` rounds of Ping; `textOf` returns the text of the nth pong. */
function pings(rounds, textOf = (n) => `pong number ${n}`) {
  const left = new Map();
  let pongs = 0;
  return {
    handle({ session, class: kind, label }) {
      if (kind === "decide") {
        const more = left.get(session) ?? rounds;
        left.set(session, more - 1);
        return { ok: more > 0 ? "ping" : "stop" };
      }
      if (kind !== "produce") return undefined;
      if (label === "pong") pongs += 1;
      return { ok: label === "ping" ? 7 : label === "pong" ? textOf(pongs) : null };
    },
  };
}

function recorded(api, images, handler, notes = []) {
  const machine = new api.Machine({ record: { tool: "tests", source: PING, notes } });
  for (const image of images) machine.open(image, "tests");
  const { rest } = machine.runSync(handler);
  if (rest !== "done") throw new Error(`the run is ${rest}`);
  return machine.finishRecording();
}

/** A recording of three sessions of two protocols. */
export function several(api) {
  const [ping, greet] = [PING, GREET].map((text) => api.compile(text));
  const handler = pings(2);
  return recorded(api, [ping, greet, ping], {
    handle: (request) =>
      request.class === "produce" && ["name", "welcome"].includes(request.label)
        ? { ok: `${request.label} said` }
        : handler.handle(request),
  });
}

/** A recording of about `rows` rows. A round of Ping has about 23. */
export function long(api, rows) {
  return recorded(api, [api.compile(PING)], pings(Math.ceil(rows / 23)));
}

export const HOSTILE =
  '</script><img src=x onerror="window.hostile=1">' +
  "<svg onload='window.hostile=1'>\u202egnp.exe\u0007";

/**
 * A recording of markup that would run and characters that would mislead if the page inserted them
 * as more than text, and of a long payload.
 */
export function hostile(api) {
  const textOf = (n) => (n === 1 ? HOSTILE : `${"long ".repeat(1000)}end`);
  return recorded(api, [api.compile(PING)], pings(2, textOf), [[HOSTILE, HOSTILE]]);
}
