module

public import Runtime.ProtocolMachine.Semantics.Step

@[expose] public section

/-!
# How an input changes one session

The outcome of an effect, the end of an effect's budget, the expiry of a witness, and a
cancellation. They model `resume`, `expire`, `expire_witness` and `cancel` in
`rust/machine/src/step.rs`. The machine's part (finding the session, the queue, the clock) is in
`Semantics/Ingress.lean`.
-/

namespace Antiphon

/-- The first `n` bytes of `b`, before `tail`. -/
def asciiFrom (b : ByteArray) (n : Nat) (tail : Bytes) : Bytes :=
  match n with
  | 0 => tail
  | n + 1 => asciiFrom b n (b.get! n :: tail)

/-- The bytes of an ASCII string, before `tail`. `toUTF8` gives the same bytes, but its definition
is not public, so Lean's kernel could not evaluate it. -/
def ascii (text : String) (tail : Bytes) : Bytes :=
  let b := text.toByteArray
  asciiFrom b b.size tail

/-- The decimal digits of a number, before `tail`; the last `fuel` digits if it has more. -/
def digits (fuel n : Nat) (tail : Bytes) : Bytes :=
  match fuel with
  | 0 => tail
  | fuel + 1 =>
    let tail := UInt8.ofNat (48 + n % 10) :: tail
    match Nat.blt n 10 with
    | true => tail
    | false => digits fuel (n / 10) tail

/-- A number below 10^20 in decimal, before `tail`. -/
def decimal (n : Nat) (tail : Bytes) : Bytes := digits 20 n tail

/-- The text of the failure that replaces a refused result. Only the two faults of `admitPayload`
occur here. -/
def Fault.detail : Fault → Bytes
  | .wrongSort sort got =>
    ascii "a value of sort " (decimal sort (ascii " was expected, got one of form " (ascii got.name [])))
  | .payloadTooLarge n max =>
    ascii "a payload of " (decimal n (ascii " bytes is over the limit of " (decimal max [])))
  | _ => []

/-- The result of applying an outcome: the session, its events and how the effect's coroutine
continues. -/
structure Taken where
  session : Session
  events : List Event
  resumed : Resumed

/-- The outstanding effect with this number. -/
def effectOf (number : Nat) : List Effect → Option Effect
  | [] => none
  | e :: es => match Nat.beq e.number number with
    | true => some e
    | false => effectOf number es

/-- The outstanding effects without the one with this number. -/
def withoutEffect (number : Nat) : List Effect → List Effect
  | [] => []
  | e :: es => match Nat.beq e.number number with
    | true => es
    | false => e :: withoutEffect number es

/-- Issues a witness. If the session already has the maximum number, the oldest one expires. -/
def testify (cx : Context) (s : Session) (effect : Nat) (kind : WitnessKind) : Session × List Event :=
  let room := match Nat.ble (Nat.max cx.config.witnessesMax 1) (len s.witnesses) with
    | true => match s.witnesses with
      | [] => ([], [])
      | oldest :: rest => (rest, [Event.witnessExpired oldest.number])
    | false => (s.witnesses, [])
  let witness := { number := s.witnessesIssued, expires := addTicks cx.clock cx.config.witnessTtl,
                   effect, kind : Witness }
  ({ s with witnessesIssued := s.witnessesIssued + 1, witnesses := app room.1 [witness] }, room.2)

/-- The operands of a requesting instruction that its outcome needs: the registers for the result
and the evidence, and the target on failure. -/
structure Asking where
  dst : Nat
  witness : Option Nat
  onFailure : Option Nat

/-- The operands of the instruction at the coroutine's position; `none` if it is not `Invoke` or
`Check`. -/
def askingOf (i : Loaded) (c : Coroutine) : Option Asking :=
  match fetch i c.program c.pc with
  | .ok (.invoke _ _ dst onFailure) => some { dst, witness := none, onFailure }
  | .ok (.check _ _ dst witness onFailure) => some { dst, witness := some witness, onFailure }
  | _ => none

/-- The effect succeeded: its coroutine receives the value and becomes ready. -/
def succeed (cx : Context) (s : Session) (e : Effect) (value : Value) : Taken :=
  let resolved := Event.effectResolved e.number value
  let unchanged := { session := s, events := [resolved], resumed := .ready e.coroutine : Taken }
  match getAt s.coroutines e.coroutine with
  | none => unchanged
  | some c => match askingOf cx.image c with
    | none => unchanged
    | some asking => match asking.witness with
      | none =>
        { session := s.withCoroutine e.coroutine
            { c with registers := writeReg c asking.dst value, pc := nextPc c.pc, status := .ready }
          events := [resolved]
          resumed := .ready e.coroutine }
      | some w =>
        let evidence := testify cx s e.number .check
        let registers := setAt (writeReg c asking.dst value) w (.evidence s.witnessesIssued)
        { session := evidence.1.withCoroutine e.coroutine
            { c with registers, pc := nextPc c.pc, status := .ready }
          events := resolved :: app evidence.2 [.witnessIssued s.witnessesIssued e.number]
          resumed := .ready e.coroutine }

/-- The effect failed: the request is repeated, or the coroutine continues at its failure branch, or
the session ends. -/
def disappoint (cx : Context) (s : Session) (e : Effect) (o : Operation) (kind : FailureKind)
    (detail : Bytes) : Taken :=
  let failed := Event.effectFailed e.number kind detail
  let again := match kind with
    | .unavailable => Nat.blt e.attempt o.retries
    | _ => false
  match getAt s.coroutines e.coroutine with
  | none => { session := s, events := [failed], resumed := .ready e.coroutine }
  | some c => match again with
    | true =>
      let issued := issue s e.coroutine c e.operation e.deadline (e.attempt + 1)
      { session := issued.1, events := [failed, issued.2], resumed := .reissued s.effectsIssued }
    | false =>
      let cause := Fault.effectFailed e.number kind
      match askingOf cx.image c with
      | some { dst, witness := _, onFailure := some target } =>
        { session := s.withCoroutine e.coroutine
            { c with registers := writeReg c dst (.nat kind.code), pc := target, status := .ready }
          events := [failed, .failureBranchEntered e.coroutine cause]
          resumed := .ready e.coroutine }
      | _ =>
        let ended := fail s e.coroutine cause
        { session := ended.1, events := failed :: ended.2, resumed := .faulted cause }

/-- Applies the outcome of an outstanding effect. A result that is not admitted becomes a
failure. -/
def takeOutcome (cx : Context) (s : Session) (e : Effect) (o : Operation) (outcome : Outcome) : Taken :=
  let s := { s with effects := withoutEffect e.number s.effects }
  match outcome with
  | .failure kind detail => disappoint cx s e o kind detail
  | .success value => match admitPayload cx value o.result with
    | .ok _ => succeed cx s e value
    | .error fault => disappoint cx s e o .contractViolation fault.detail

/-- Applies the outcome of an effect; refused if the effect is not outstanding. -/
def resume (cx : Context) (s : Session) (number : Nat) (outcome : Outcome) : Except Refusal Taken :=
  match effectOf number s.effects with
  | none => match Nat.blt number s.effectsIssued with
    | true => .error (.late { session := s.id, number })
    | false => .error (.neverIssued { session := s.id, number })
  | some e => match operationAt cx.image e.operation with
    | .error _ => .error (.late { session := s.id, number })
    | .ok o => .ok (takeOutcome cx s e o outcome)

/-- An effect's budget has run out; `none` if the effect is not outstanding. -/
def expire (cx : Context) (s : Session) (number : Nat) : Option Taken :=
  match effectOf number s.effects with
  | none => none
  | some _ =>
    let evidence := testify cx s number .timeout
    match resume cx evidence.1 number (.failure .timeout []) with
    | .error _ => none
    | .ok taken => some { taken with
        events := app evidence.2 (.timeoutIssued number s.witnessesIssued :: taken.events) }

/-- Expires a witness, if it is the oldest live witness. -/
def expireWitness (s : Session) (number : Nat) : Session × List Event :=
  match s.witnesses with
  | [] => (s, [])
  | oldest :: rest => match Nat.beq oldest.number number with
    | true => ({ s with witnesses := rest }, [.witnessExpired number])
    | false => (s, [])

/-- Cancels the session. -/
def cancel (s : Session) : Session × List Event :=
  let ended := finish { s with witnessesIssued := s.witnessesIssued + 1 } .cancelled
  (ended.1, .cancellationRequested s.witnessesIssued :: .cancelled s.witnessesIssued :: ended.2)

end Antiphon
