// Shows the replay's result: a word beside the title, and a banner for errors.
import { clean, count, make } from "./dom.js";

const TAILS = {
  open: "The recording has no end: whoever wrote it was stopped. What is there was replayed.",
  torn: "The recording ends in the middle of a record. What comes before was replayed.",
};

/** { word, manner, banner or null, step where it is, or null } */
export function verdict(findings, goTo) {
  const { verdict: word, divergence, broken, tail, steps } = findings;
  if (divergence !== null) {
    return {
      word: "diverges",
      manner: "bad",
      step: divergence.step,
      banner: diverged(divergence, goTo),
    };
  }
  if (broken !== null) {
    const banner = [
      make("h2", "", "The recording cannot be replayed further"),
      make(
        "p",
        "",
        clean(broken.message),
        broken.place === null ? "" : ` (${clean(broken.place)})`,
      ),
    ];
    return { word: "broken", manner: "bad", step: steps, banner: [...banner, jump(steps, goTo)] };
  }
  if (tail?.kind === "damaged") {
    const { record, offset, len, message } = tail;
    const banner = [
      make("h2", "", `The recording is not what was written: record ${count(record)} is damaged`),
      make("p", "", `Bytes ${count(offset)} to ${count(offset + len)}: ${clean(message)}.`),
      make(
        "p",
        "",
        `The ${count(steps)} steps before it were replayed and are equal. ` +
          "Nothing after them can be trusted.",
      ),
    ];
    return { word: "damaged", manner: "bad", step: steps, banner: [...banner, jump(steps, goTo)] };
  }
  if (TAILS[tail?.kind] !== undefined) {
    const where =
      tail.kind === "torn" ? ` Record ${count(tail.record)}, byte ${count(tail.offset)}.` : "";
    const banner = [
      make("h2", "", "The recording ends too early"),
      make("p", "", TAILS[tail.kind] + where),
    ];
    return { word: "cut off", manner: "odd", step: steps, banner };
  }
  if (word === "running") return { word: "replaying", manner: "", step: null, banner: null };
  return word === "equal"
    ? { word: "equal", manner: "good", step: null, banner: null }
    : { word: `equal up to step ${count(steps)}`, manner: "odd", step: steps, banner: null };
}

/** What is not listed, or null when everything is. */
export function partial({ full, rows, total, leftOut }) {
  if (!full || rows === total) return null;
  const kinds = Object.entries(leftOut).map(
    ([kind, number]) => `${count(number)} ${kind.replace(/_/g, " ")}`,
  );
  return [
    make("h2", "", `${count(rows)} of ${count(total)} rows are listed`),
    make("p", "", `There is no room for: ${kinds.join(", ")}.`),
  ];
}

/** What is said when the recording cannot be opened at all. */
export function unreadable({ message, place }) {
  const where =
    place === null || place === undefined || message.includes(place) ? "" : ` (${clean(place)})`;
  return [make("h2", "", "This recording cannot be shown"), make("p", "", clean(message), where)];
}

function jump(step, goTo) {
  const button = make("button", "", `go to step ${count(step)}`);
  button.type = "button";
  button.addEventListener("click", () => goTo(step));
  return button;
}

function diverged(
  { entry, step, session, role, instruction, expected, got, fields, message },
  goTo,
) {
  const where = [
    session === null ? null : `session ${session}`,
    role === null ? null : `role ${clean(role)}`,
    instruction === null
      ? null
      : `instruction ${instruction.pc} of ${clean(instruction.program)}: ` +
        clean(instruction.text),
  ].filter((part) => part !== null);
  const table = make("table", "compare");
  const line = (name, a, b) =>
    table.append(
      make(
        "tr",
        "",
        make("th", "", clean(name)),
        make("td", "", make("code", "", clean(a))),
        make("td", "", make("code", "", clean(b))),
      ),
    );
  table.append(
    make(
      "tr",
      "",
      make("th", ""),
      make("th", "", "expected by the recording"),
      make("th", "", "got by the replay"),
    ),
  );
  line("whole", expected, got);
  fields.forEach((field) => line(field.name, field.expected, field.got));
  return [
    make(
      "h2",
      "",
      `The replay parts from the recording at entry ${count(entry)}, step ${count(step)}`,
    ),
    make("p", "", where.join(", ")),
    table,
    make("details", "", make("summary", "", "in full"), make("pre", "", clean(message))),
    jump(step, goTo),
  ];
}
