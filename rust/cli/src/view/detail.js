// Describes one row and one session in words.
import { clean, count, make } from "./dom.js";

const KIND_NAMES = {
  opened: "session opened",
  sent: "sent",
  offered: "chose and sent",
  received: "received",
  chose: "received a choice",
  effect_issued: "effect issued",
  effect_resolved: "effect resolved",
  effect_failed: "effect failed",
  effect_invalidated: "effect invalidated",
  witness_issued: "witness issued",
  witness_expired: "witness expired",
  timeout_issued: "timed out",
  cancellation_requested: "cancellation requested",
  cancelled: "cancelled",
  failure_branch_entered: "failure branch entered",
  spawned: "coroutine started",
  halted: "done",
  faulted: "faulted",
  closed: "session closed",
  session_terminal: "session ended",
  epoch_advanced: "next epoch",
  request: "request to the handler",
  input: "input",
  refused: "refused",
};

export const kindName = (kind) => KIND_NAMES[kind] ?? kind;

function facts(pairs) {
  const list = make("dl", "");
  for (const [name, value] of pairs) {
    if (value === null || value === undefined || value === "") continue;
    list.append(
      make("dt", "", name),
      make("dd", "", typeof value === "number" ? count(value) : clean(value)),
    );
  }
  return list;
}

function values(head, { values: of, failure }) {
  const parts = of.map(({ sort, text, cut }) => [
    make("h3", "", head, sort === null ? "" : make("span", "sort", ` ${clean(sort)}`)),
    make("pre", "value", clean(text)),
    ...(cut ? [make("p", "odd", "The value is longer than what is shown.")] : []),
  ]);
  if (failure) {
    parts.push([
      make("h3", "", "failure"),
      make("pre", "value bad", clean(`${failure.kind}\n${failure.detail}`.trim())),
    ]);
  }
  return parts.flat();
}

/**
 * Returns the elements that describe a row in full. `effect` has the details of the request and the
 * answer of the row's effect, or is null if the row has none.
 */
export function rowDetail({ row, detail, effect }, goToRow) {
  if (row === null)
    return [
      make("p", "faint", "Nothing has happened yet. Press → for the first step, or select a row."),
    ];
  const parts = [
    make("h2", "", kindName(row.kind)),
    make("p", "line", clean(row.text)),
    facts([
      ["row", row.row],
      ["step", row.step],
      ["clock", row.clock],
      ["session", row.session],
      ["role", row.role],
      ["peer", row.peer],
      ["label", row.label],
      ["effect", detail?.effect],
      ["operation", detail?.operation],
      ["attempt", detail?.attempt || null],
      ["deadline", detail?.deadline],
    ]),
  ];
  if (detail === null) return parts;
  if (effect) {
    parts.push(...values("arguments", effect.request ?? { values: [] }));
    parts.push(...values("answer", effect.answer ?? { values: [] }));
    if (!effect.answer) parts.push(make("p", "faint", "There is no answer in this recording."));
  } else {
    parts.push(...values(detail.what ?? "", detail));
  }
  const related = ["issued", "request", "answer", "ended"].map((name) => [
    name,
    detail.related?.[name] ?? null,
  ]);
  const links = related.filter(([, at]) => at !== null && at !== row.row);
  if (links.length > 0) {
    const list = make("p", "links", "rows of this effect: ");
    for (const [name, at] of links) {
      const button = make("button", "link", `${name} (row ${count(at)})`);
      button.type = "button";
      button.addEventListener("click", () => goToRow(at));
      list.append(button, " ");
    }
    parts.push(list);
  }
  return parts;
}

/** Returns the elements that describe a session's coroutines, buffers and effects. */
export function machineDetail(session) {
  const parts = [];
  const coroutines = [
    ...session.roles.map(({ role, coroutine }) => ({ name: role, of: coroutine })),
    ...session.spawned.map((of) => ({ name: `coroutine ${of.coroutine}`, of })),
  ];
  const table = make("table", "");
  for (const { name, of } of coroutines) {
    if (of === null) continue;
    const registers = of.registers.map((text, n) => `r${n} = ${text}`).join("\n");
    table.append(
      make(
        "tr",
        "",
        make("th", "", clean(name)),
        make(
          "td",
          "",
          make("code", "", `${of.pc}: ${clean(of.instruction ?? "-")}`),
          make(
            "details",
            "",
            make("summary", "", `${of.registers.length} registers`),
            make("pre", "", clean(registers)),
          ),
        ),
      ),
    );
  }
  parts.push(make("h3", "", "next instructions"), table);
  const queues = session.edges.filter(({ sent, received }) => sent > received);
  parts.push(make("h3", "", "messages in transit"));
  if (queues.length === 0) parts.push(make("p", "faint", "no messages"));
  for (const { from, to, sent, received, queue } of queues) {
    parts.push(
      make("p", "", make("b", "", `${clean(from)} → ${clean(to)}`), ` ${count(sent - received)}`),
      make("pre", "", clean(queue.join("\n"))),
    );
  }
  if (session.effects.length > 0) {
    parts.push(make("h3", "", "outstanding effects"));
    parts.push(
      make(
        "pre",
        "",
        session.effects
          .map(({ effect, operation, deadline }) =>
            clean(`${effect}: ${operation}${deadline === null ? "" : `, until ${deadline}`}`),
          )
          .join("\n"),
      ),
    );
  }
  parts.push(
    facts([
      ["owner", session.owner],
      ["epoch", session.epoch],
      ["image", session.image],
      ["state", session.digest],
    ]),
  );
  return parts;
}
