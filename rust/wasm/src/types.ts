/** The kinds of `AntiphonError`. */
export type ErrorCode =
  | "bad_argument"
  | "bad_image"
  | "beyond_end"
  | "busy"
  | "damaged"
  | "diagnostics"
  | "handler_threw"
  | "io"
  | "no_header"
  | "no_such_protocol"
  | "not_a_recording"
  | "not_kept"
  | "panic"
  | "promise_in_sync"
  | "recording"
  | "refused"
  | "version"
  | "wrong_value";

/** The error that every call throws, and that `run` rejects with. */
export interface AntiphonError extends Error {
  readonly name: "AntiphonError";
  readonly code: ErrorCode;
  /**
   * The position of the error: a field (`options.config.policy`), an entry (`entry 12`), a byte
   * (`byte 7`), a line (`a.anti:3:5`).
   */
  readonly place: string | null;
  /** With the code `diagnostics`: all findings. */
  readonly diagnostics?: Diagnostic[];
  /** With the code `no_such_protocol`: the existing protocols. */
  readonly protocols?: string[];
}

/**
 * A place in a text: byte offsets in UTF-8, and line and column from 1, the column in characters.
 */
export interface TextPlace {
  file: string;
  start: number;
  end: number;
  line: number;
  column: number;
}

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
  /** The name of the text in diagnostics. */
  name?: string;
  /** The protocol to compile; needed when the text has several. */
  protocol?: string;
  /** The texts of imported modules, by their names. */
  modules?: Record<string, string>;
}

export interface Checked {
  /** The names of the protocols; empty when there is an error. */
  protocols: string[];
  diagnostics: Diagnostic[];
  /** All findings as text, with excerpts. */
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
  /** Record the run; `finishRecording` returns the bytes. */
  record?: boolean | { tool?: string; source?: string; notes?: [string, string][] };
  /** Compute the digest of the trace. */
  trace?: boolean;
  /** Keep rows of what happens. */
  rows?: boolean;
}

/** Missing fields have their defaults. */
export interface MachineConfig {
  policy?: "cooperative" | "round-robin" | "priority" | "progress-aware";
  /** Priorities of roles, 0 to 255, for the policy `priority`. */
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
 * A value of the machine, by its sort: `null` for Unit; boolean and string; number for Nat and Int,
 * or bigint beyond 2^53-1; Uint8Array for Bytes and foreign sorts; arrays for lists and options (at
 * most one element); objects by field names for records; names for variants of enumerations and for
 * labels.
 */
export type Value =
  null | boolean | number | bigint | string | Uint8Array | Value[] | { [field: string]: Value };

export type RequestClass = "produce" | "decide" | "deliver" | "command" | "observe" | "check";

/** A request of the machine to the handler. */
export interface Request {
  session: number;
  /** The effect's number within the session. */
  effect: number;
  /** The role that issued the effect; `null` for a spawned coroutine. */
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
  /** The result's sort, in the notation of protocols. */
  result: string;
  args: Value[];
  /** The number of earlier attempts. */
  attempt: number;
  /** The clock value at which the effect times out. */
  deadline: number | bigint | null;
}

export type FailureKind =
  | "denied"
  | "timeout"
  | "cancelled"
  | "unavailable"
  | "invalid_input"
  | "stale_authority"
  | "contract_violation"
  | "lost"
  | "busy"
  | "internal";

/** How an effect ended. `undefined` is success without a value, the usual answer to `deliver`. */
export type Outcome = { ok: Value } | { fail: FailureKind; detail?: string } | undefined | void;

/** `"later"`: the outcome will be supplied with `answer`. */
export type Reply = Outcome | "later";

/** Answers the machine's requests. */
export interface EffectHandler {
  handle(request: Request): Reply | Promise<Outcome>;
}

export interface RunOptions {
  /** The maximum number of steps. */
  steps?: number;
}

/**
 * Why a run paused. `done`: every session has ended; `idle`: outcomes are outstanding; `stuck`: a
 * deadlock that no outcome can resolve; `running`: the steps were taken.
 */
export interface RunResult {
  rest: "done" | "idle" | "stuck" | "running";
  /** The blocked coroutines, when stuck. */
  waits?: { session: number; coroutine: number; server: number | null }[];
}

export interface StepResult extends RunResult {
  /** The coroutine that stepped, if any. */
  session?: number;
  coroutine?: number;
}

export type RowKind =
  | "opened"
  | "sent"
  | "offered"
  | "received"
  | "chose"
  | "effect_issued"
  | "effect_resolved"
  | "effect_failed"
  | "effect_invalidated"
  | "witness_issued"
  | "witness_expired"
  | "timeout_issued"
  | "cancellation_requested"
  | "cancelled"
  | "failure_branch_entered"
  | "spawned"
  | "halted"
  | "faulted"
  | "closed"
  | "session_terminal"
  | "epoch_advanced"
  | "request"
  | "input"
  | "refused";

/** Selects the rows that satisfy all given conditions. */
export interface Filter {
  session?: number;
  /** The row's role or peer. */
  role?: string;
  kinds?: RowKind[];
  /** The row's line contains this text, ignoring ASCII case. */
  text?: string;
}

/** Something that happened: an event, a request or an input. */
export interface Row {
  /** Its number among all rows. */
  row: number;
  /** The number of steps taken before it. */
  step: number;
  /** The number of steps taken by the time it had happened; `seek` there to see its effect. */
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
  /** The number of rows that match the filter. */
  total: number;
  /** The position of the first of `rows` among them. */
  from: number;
  rows: Row[];
}

/**
 * A value in the notation of scripts, with a line for each item and field; `cut` when it was longer
 * than a megabyte.
 */
export interface FullValue {
  sort: string | null;
  text: string;
  cut: boolean;
}

/** The values that a row's line shortens. */
export interface RowDetail {
  /** The number of the row's effect. */
  effect: number | null;
  operation: string | null;
  attempt: number | null;
  deadline: number | null;
  what: "arguments" | "payload" | "result" | null;
  values: FullValue[];
  failure: { kind: string; detail: string } | null;
  /** Other rows of the same effect, by their numbers among all rows. */
  related: {
    issued: number | null;
    request: number | null;
    answer: number | null;
    ended: number | null;
  } | null;
}

export interface SessionBrief {
  session: number;
  protocol: string;
  owner: string;
  phase: "active" | "closed" | "cancelled" | "faulted";
  /** The number of its events. */
  events: number;
  /** The number of its rows in the recording, as far as it is indexed; only of a replay. */
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
  /** The digests of its image and of its state. */
  image: string;
  digest: string;
  epoch: number;
  roles: {
    role: string;
    /** The state of its automaton, and what that state admits. */
    state: number;
    action: "send" | "receive" | "end";
    peer: string | null;
    labels: string[];
    coroutine: Coroutine | null;
  }[];
  spawned: Coroutine[];
  /** The buffers; `queue` has the first sixteen messages. */
  edges: { from: string; to: string; sent: number; received: number; queue: string[] }[];
  /** Outstanding effects. */
  effects: {
    effect: number;
    operation: string;
    coroutine: number;
    deadline: number | null;
    attempt: number;
  }[];
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
      kind: "damaged";
      record: number;
      offset: number;
      len: number;
      message: string;
      cause: "length" | "too_long" | "chain" | "entry" | "misplaced" | "behind_end";
    };

/** The first point at which a replay differs from the recording. */
export interface Divergence {
  code:
    | "request"
    | "extra_request"
    | "missing_request"
    | "early_rest"
    | "step"
    | "answer_to_nothing"
    | "refusal"
    | "clock"
    | "state_digest"
    | "trace_digest"
    | "stop";
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

/** The results of a replay so far. */
export interface Findings {
  /**
   * `running`: no difference so far, and the recording is not over; `equal`: only for a complete
   * recording; `equal_up_to`: equal up to `steps`, where the recording is truncated or damaged, see
   * `tail`; `broken`: an image in the recording is invalid.
   */
  verdict: "running" | "equal" | "equal_up_to" | "diverged" | "broken";
  over: boolean;
  steps: number;
  rows: number;
  /**
   * Whether the bound on rows is reached; beyond it only the first 10,000 problems and as many ends
   * of sessions are kept.
   */
  full: boolean;
  /** The number of rows that there would be without the bound. */
  total: number;
  /** The number of rows of each kind, in everything that was replayed. */
  counts: Record<string, number>;
  /** The number of rows of each kind that are not kept. */
  leftOut: Record<string, number>;
  /**
   * The number of sessions by how they ended: `closed`, `cancelled`, `faulted`, or `active` if they
   * did not.
   */
  ends: Record<string, number>;
  records: number;
  entries: number;
  requests: number;
  inputs: number;
  checkpoints: number;
  sessions: number;
  clock: number;
  /** The digests at the replayed step; `null` where the recording's mode has none. */
  state: string | null;
  trace: string | null;
  tail: Tail | null;
  divergence: Divergence | null;
  broken: { code: ErrorCode; message: string; place: string | null } | null;
}
