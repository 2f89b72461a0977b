// Shows the replay's result: a word beside the title, and a banner for errors.
import { clean, count, make } from "./dom.js";

const TAILS = {
  open: "The recording has no end: its writer was stopped. The recorded part was replayed.",
  torn: "The recording ends in the middle of a record. The records before it were replayed.",
};

/**
 * Returns { word, severity, banner, step }. The banner is null if there is nothing to explain, and
 * the step is null if there is no problem.
 */
export function verdict(findings, goTo) {
  const { verdict: word, divergence, broken, tail, steps } = findings;
  if (divergence !== null) {
    return {
      word: "diverges",
      severity: "bad",
      step: divergence.step,
      banner: divergenceBanner(divergence, goTo),
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
    return {
      word: "broken",
      severity: "bad",
      step: steps,
      banner: [...banner, stepButton(steps, goTo)],
    };
  }
  if (tail?.kind === "damaged") {
    const { record, offset, len, message } = tail;
    const banner = [
      make("h2", "", `The recording is damaged at record ${count(record)}`),
      make("p", "", `Bytes ${count(offset)} to ${count(offset + len)}: ${clean(message)}.`),
      make(
        "p",
        "",
        `The ${count(steps)} steps before it were replayed and are equal. ` +
          "Nothing after them can be trusted.",
      ),
    ];
    return {
      word: "damaged",
      severity: "bad",
      step: steps,
      banner: [...banner, stepButton(steps, goTo)],
    };
  }
  if (TAILS[tail?.kind] !== undefined) {
    const where =
      tail.kind === "torn" ? ` Record ${count(tail.record)}, byte ${count(tail.offset)}.` : "";
    const banner = [
      make("h2", "", "The recording ends too early"),
      make("p", "", TAILS[tail.kind] + where),
    ];
    return { word: "cut off", severity: "odd", step: steps, banner };
  }
  if (word === "running") return { word: "replaying", severity: "", step: null, banner: null };
  return word === "equal"
    ? { word: "equal", severity: "good", step: null, banner: null }
    : { word: `equal up to step ${count(steps)}`, severity: "odd", step: steps, banner: null };
}

/** Returns a banner about the rows that are not listed, or null if all are. */
export function omittedRows({ full, rows, total, leftOut }) {
  if (!full || rows === total) return null;
  const kinds = Object.entries(leftOut).map(
    ([kind, number]) => `${count(number)} ${kind.replace(/_/g, " ")}`,
  );
  return [
    make("h2", "", `${count(rows)} of ${count(total)} rows are listed`),
    make("p", "", `Not listed: ${kinds.join(", ")}.`),
  ];
}

/** Returns the banner for a recording that cannot be opened. */
export function unreadable({ message, place }) {
  const where =
    place === null || place === undefined || message.includes(place) ? "" : ` (${clean(place)})`;
  return [make("h2", "", "This recording cannot be shown"), make("p", "", clean(message), where)];
}

function stepButton(step, goTo) {
  const button = make("button", "", `go to step ${count(step)}`);
  button.type = "button";
  button.addEventListener("click", () => goTo(step));
  return button;
}

function divergenceBanner(
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
      `The replay differs from the recording at entry ${count(entry)}, step ${count(step)}`,
    ),
    make("p", "", where.join(", ")),
    table,
    make("details", "", make("summary", "", "in full"), make("pre", "", clean(message))),
    stepButton(step, goTo),
  ];
}
