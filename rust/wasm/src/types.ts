/** What an `AntiphonError` is about. */
export type ErrorCode =
  | "bad_argument" | "bad_image" | "beyond_end" | "busy" | "damaged" | "diagnostics" | "handler_threw" | "io"
  | "no_header" | "no_such_protocol" | "not_a_recording" | "not_kept" | "panic" | "promise_in_sync" | "recording"
  | "refused" | "version" | "wrong_value";

/** What every call throws when something is wrong, and what `run` rejects with. */
export interface AntiphonError extends Error {
  readonly name: "AntiphonError";
  readonly code: ErrorCode;
  /** Where: a field (`options.config.policy`), an entry (`entry 12`), a byte (`byte 7`), a line (`a.anti:3:5`). */
  readonly place: string | null;
  /** With the code `diagnostics`. */
  readonly diagnostics?: Diagnostic[];
  /** With the code `no_such_protocol`: those that there are. */
  readonly protocols?: string[];
}

/** A place in a text: offsets in bytes of UTF-8, line and column from 1, the column in characters. */
export interface TextPlace { file: string; start: number; end: number; line: number; column: number }

/** A finding about a text. */
export interface Diagnostic {
  code: string;
  severity: "error" | "warning";
  message: string;
  place: TextPlace;
  label: string;
  related: { place: TextPlace; label: string }[];
  notes: string[];
  helps: string[];
  mending: string;
}

export interface CompileOptions {
  /** The name that diagnostics give the text. */
  name?: string;
  /** Which protocol of the text; needed when there are several. */
  protocol?: string;
  /** Texts of modules that it imports, by their names. */
  modules?: Record<string, string>;
}

export interface Checked {
  /** Names of the protocols; none when there is an error. */
  protocols: string[];
  diagnostics: Diagnostic[];
  /** All of it for people, with excerpts. */
  text: string;
}

export interface ImageDescription {
  name: string;
  version: number;
  digest: string;
  roles: {
    name: string;
    /** The role's automaton; it starts in state 0. */
    states: {
      action: "send" | "receive" | "end";
      peer: string | null;
      branches: { label: string; sort: string; next: number }[];
    }[];
  }[];
  labels: string[];
  operations: {
    interface: string;
    name: string;
    class: RequestClass;
    args: string[];
    result: string;
    budget: number | null;
    retries: number;
  }[];
}

export interface MachineOptions {
  config?: MachineConfig;
  /** Record the run; `finishRecording` gives the bytes. */
  record?: boolean | { tool?: string; source?: string; notes?: [string, string][] };
  /** Make the digest of the trace. */
  trace?: boolean;
  /** Keep rows of what happens. */
  rows?: boolean;
}

/** What is not there is as by default. */
export interface MachineConfig {
  policy?: "cooperative" | "round-robin" | "priority" | "progress-aware";
  /** Priorities of roles, 0 to 255, for the policy of that name. */
  priorities?: Record<string, number>;
  bufferLenMax?: number;
  payloadLenMax?: number;
  coroutinesMax?: number;
  sessionsMax?: number;
  witnessesMax?: number;
  /** In ticks. */
  witnessTtl?: number;
  /** In ticks. */
  effectBudget?: number | null;
  determinism?: "full" | "modulo-effects" | "modulo-commutativity";
}

/**
 * A value of the machine, by its sort: `null` for Unit; boolean, string; number for Nat and Int, bigint beyond 2^53-1;
 * Uint8Array for Bytes and foreign ones; arrays for lists and options (at most one element); objects by field names for
 * records; names for variants of enumerations and for labels.
 */
export type Value = null | boolean | number | bigint | string | Uint8Array | Value[] | { [field: string]: Value };

export type RequestClass = "produce" | "decide" | "deliver" | "command" | "observe" | "check";

/** What the machine asks of the world. */
export interface Request {
  session: number;
  /** The effect's number within the session. */
  effect: number;
  /** Who asks; `null` for a spawned coroutine. */
  role: string | null;
  class: RequestClass;
  interface: string;
  operation: string;
  /** The message's label, of `produce` and `deliver`. */
  label: string | null;
  /** The labels to choose from, of `decide`. */
  labels: string[] | null;
  /** The other role, of `produce`, `decide` and `deliver`. */
  peer: string | null;
  /** The sort of the result, in a word. */
  result: string;
  args: Value[];
  /** How often it was asked before. */
  attempt: number;
  /** The clock reading at which it times out. */
  deadline: number | bigint | null;
}

export type FailureKind =
  | "denied" | "timeout" | "cancelled" | "unavailable" | "invalid_input" | "stale_authority" | "contract_violation"
  | "lost" | "busy" | "internal";

/** How an effect ended. `undefined` is success with nothing to say: the answer to `deliver`. */
export type Outcome = { ok: Value } | { fail: FailureKind; detail?: string } | undefined | void;

/** `"later"`: the outcome will come by `answer`. */
export type Reply = Outcome | "later";

/** The world. */
export interface EffectHandler {
  handle(request: Request): Reply | Promise<Outcome>;
}

export interface RunOptions {
  /** Steps to take at most. */
  steps?: number;
}

/** How a run paused: `done`: every session has ended; `idle`: outcomes are owed; `stuck`: no outcome can help. */
export interface RunResult {
  rest: "done" | "idle" | "stuck" | "running";
  /** Who waits, when stuck. */
  waits?: { session: number; coroutine: number; server: number | null }[];
}

export interface StepResult extends RunResult {
  /** Who stepped, when somebody did. */
  session?: number;
  coroutine?: number;
}

export type RowKind =
  | "opened" | "sent" | "offered" | "received" | "chose" | "effect_issued" | "effect_resolved" | "effect_failed"
  | "effect_invalidated" | "witness_issued" | "witness_expired" | "timeout_issued" | "cancellation_requested"
  | "cancelled" | "failure_branch_entered" | "spawned" | "halted" | "faulted" | "closed" | "session_terminal"
  | "epoch_advanced" | "request" | "input" | "refused";

/** Which rows are wanted: those of which all that is said is true. */
export interface Filter {
  session?: number;
  /** That this role did, or that were done to it. */
  role?: string;
  kinds?: RowKind[];
  /** Whose line has this in it, whatever the case of ASCII letters. */
  text?: string;
}

/** Something that happened: an event, a request, an input. */
export interface Row {
  /** Its number among all rows. */
  row: number;
  /** Steps that were taken before it. */
  step: number;
  /** Steps that were taken once it had happened: `seek` to there. */
  after: number;
  clock: number;
  session: number | null;
  kind: RowKind;
  role: string | null;
  peer: string | null;
  label: string | null;
  /** A line about it. */
  text: string;
}

export interface Rows {
  /** How many rows there are under the filter. */
  total: number;
  /** Where the first one of `rows` stands among them. */
  from: number;
  rows: Row[];
}

/** A value, with all of it that a megabyte of text holds. */
export interface FullValue { sort: string | null; text: string; cut: boolean }

/** What the line of a row shortens. */
export interface RowDetail {
  /** The number of the effect that it is about. */
  effect: number | null;
  operation: string | null;
  attempt: number | null;
  deadline: number | null;
  what: "arguments" | "payload" | "result" | null;
  values: FullValue[];
  failure: { kind: string; detail: string } | null;
  /** Rows that tell of the same effect, by their numbers among all. */
  related: { issued: number | null; request: number | null; answer: number | null; ended: number | null } | null;
}

export interface SessionBrief {
  session: number;
  protocol: string;
  owner: string;
  phase: "active" | "closed" | "cancelled" | "faulted";
  /** Events it has seen. */
  events: number;
  /** Rows of it in the whole recording, as far as it was indexed; of a replay. */
  rows?: number;
}

export interface Coroutine {
  coroutine: number;
  status: "ready" | "blocked" | "halted" | "faulted";
  /** What it waits for. */
  on: string | null;
  program: string;
  pc: number;
  /** Its next instruction. */
  instruction: string | null;
  registers: string[];
}

export interface Session extends SessionBrief {
  /** Digests, of its image and of its state. */
  image: string;
  digest: string;
  epoch: number;
  roles: {
    role: string;
    /** Where it stands in its automaton, and what it may do there. */
    state: number;
    action: "send" | "receive" | "end";
    peer: string | null;
    labels: string[];
    coroutine: Coroutine | null;
  }[];
  spawned: Coroutine[];
  /** Buffers; of what is on its way the first sixteen messages. */
  edges: { from: string; to: string; sent: number; received: number; queue: string[] }[];
  /** Outstanding effects. */
  effects: { effect: number; operation: string; coroutine: number; deadline: number | null; attempt: number }[];
  witnesses: number;
}

export interface RecordingHeader {
  tool: string;
  source: string | null;
  notes: [string, string][];
  policy: string;
  determinism: string;
}

/** How a recording ends. */
export type Tail =
  | { kind: "sealed" }
  | { kind: "open" }
  | { kind: "torn"; record: number; offset: number; len: number }
  | {
      kind: "damaged"; record: number; offset: number; len: number; message: string;
      cause: "length" | "too_long" | "chain" | "entry" | "misplaced" | "behind_end";
    };

/** The first point at which a replay is not what the recording says. */
export interface Divergence {
  code: "request" | "extra_request" | "missing_request" | "early_rest" | "step" | "answer_to_nothing" | "refusal"
    | "clock" | "state_digest" | "trace_digest" | "stop";
  message: string;
  entry: number;
  step: number;
  session: number | null;
  role: string | null;
  instruction: { program: string; pc: number; text: string } | null;
  expected: string;
  got: string;
  fields: { name: string; expected: string; got: string }[];
  recent: { step: number; session: number; text: string }[];
}

/** What a replay found so far. */
export interface Findings {
  /**
   * `running`: nothing yet, and it is not over; `equal`: of a whole recording only; `equal_up_to`: up to `steps`, where the
   * recording is cut or damaged, see `tail`; `broken`: an image in it is of no use.
   */
  verdict: "running" | "equal" | "equal_up_to" | "diverged" | "broken";
  over: boolean;
  steps: number;
  rows: number;
  /** Whether there was no room for more rows, but for the first 10,000 of trouble and as many ends of sessions. */
  full: boolean;
  /** How many rows there would be with room for all. */
  total: number;
  /** How often what happened, by kind of row, in all of what was replayed. */
  counts: Record<string, number>;
  /** What there is no row of, by kind. */
  leftOut: Record<string, number>;
  /** How many sessions ended how: `closed`, `cancelled`, `faulted`; `active` are those that did not. */
  ends: Record<string, number>;
  records: number;
  entries: number;
  requests: number;
  inputs: number;
  checkpoints: number;
  sessions: number;
  clock: number;
  /** Digests where the replay has come to; `null` where the recording's mode has none. */
  state: string | null;
  trace: string | null;
  tail: Tail | null;
  divergence: Divergence | null;
  broken: { code: ErrorCode; message: string; place: string | null } | null;
}
