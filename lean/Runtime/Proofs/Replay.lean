module

public import Runtime.ProtocolMachine.Runtime.ThreadedRunner

@[expose] public section

/-!
# Replay

A driver acts on a machine. When the machine issues a request, the world answers at once or reports
that the answer comes later. The recording lists, in order, what the driver did and what was
requested and answered. A replay does the same with the recording in place of the world: it takes
every answer from the recording, compares every request with it, and stops at the first entry that
does not match the machine.

Inputs at any moment are also entries: openings of sessions, advances of the clock, cancellations,
and outcomes that come later. The requests that are compared are those that an action shows. A wave
of several sessions shows none, and its outcomes come as inputs. The machine cannot check that an
identity is used at most once across recordings, and nothing is claimed about it.
-/

namespace Antiphon

/-! ## Equality of requests -/

/-- Whether two optional numbers are equal. -/
def sameOption : Option Nat → Option Nat → Bool
  | none, none => true
  | some a, some b => Nat.beq a b
  | _, _ => false

mutual
/-- Whether two values are equal. -/
def sameValue : Value → Value → Bool
  | .unit, .unit => true
  | .bool a, .bool b => decide (a = b)
  | .nat a, .nat b => Nat.beq a b
  | .int a, .int b => decide (a = b)
  | .text a, .text b => sameBytes a b
  | .bytes a, .bytes b => sameBytes a b
  | .list a, .list b => sameValues a b
  | .record a, .record b => sameValues a b
  | .endpoint a, .endpoint b => Nat.beq a b
  | .evidence a, .evidence b => Nat.beq a b
  | _, _ => false

/-- Whether two lists of values are equal. -/
def sameValues : List Value → List Value → Bool
  | [], [] => true
  | a :: as, b :: bs => sameValue a b && sameValues as bs
  | _, _ => false
end

/-- Whether two requests are equal in every field. -/
def sameRequest (a b : EffectRequest) : Bool :=
  decide (a.effect = b.effect) && sameOption a.role b.role && Nat.beq a.operation b.operation &&
    sameOption a.deadline b.deadline && Nat.beq a.attempt b.attempt && sameValues a.args b.args

theorem sameOption_iff {a b : Option Nat} : sameOption a b = true ↔ a = b := by
  cases a <;> cases b <;> simp [sameOption]

theorem sameBytes_iff {a b : Bytes} : sameBytes a b = true ↔ a = b := by
  induction a generalizing b with
  | nil => cases b <;> simp [sameBytes]
  | cons x xs ih =>
    cases b with
    | nil => simp [sameBytes]
    | cons y ys => by_cases h : x = y <;> simp [sameBytes, h, ih]

mutual
theorem sameValue_iff : ∀ a b : Value, sameValue a b = true ↔ a = b
  | .unit, b => by cases b <;> simp [sameValue]
  | .bool _, b => by cases b <;> simp [sameValue]
  | .nat _, b => by cases b <;> simp [sameValue]
  | .int _, b => by cases b <;> simp [sameValue]
  | .text _, b => by cases b <;> simp [sameValue, sameBytes_iff]
  | .bytes _, b => by cases b <;> simp [sameValue, sameBytes_iff]
  | .list xs, b => by
    cases b <;> simp only [sameValue, reduceCtorEq, Bool.false_eq_true, Value.list.injEq]
    exact sameValues_iff xs _
  | .record xs, b => by
    cases b <;> simp only [sameValue, reduceCtorEq, Bool.false_eq_true, Value.record.injEq]
    exact sameValues_iff xs _
  | .endpoint _, b => by cases b <;> simp [sameValue]
  | .evidence _, b => by cases b <;> simp [sameValue]

theorem sameValues_iff : ∀ a b : List Value, sameValues a b = true ↔ a = b
  | [], b => by cases b <;> simp [sameValues]
  | x :: xs, b => by
    cases b with
    | nil => simp [sameValues]
    | cons y ys =>
      simp only [sameValues, Bool.and_eq_true, List.cons.injEq]
      rw [sameValue_iff x y, sameValues_iff xs ys]
end

/-- `sameRequest` decides equality of requests. -/
theorem sameRequest_iff {a b : EffectRequest} : sameRequest a b = true ↔ a = b := by
  cases a; cases b
  simp [sameRequest, sameOption_iff, sameValues_iff, and_assoc]

/-! ## Runs, recordings, replays -/

/-- A machine with its driver: the machine, its events so far, and the request that has not been
answered yet. -/
structure Driven where
  machine : Machine
  events : List ObsEvent
  asked : Option EffectRequest

/-- An entry of a recording. -/
inductive Entry where
  /-- The driver performed this action. -/
  | act (action : Action)
  /-- The machine issued this request and got this answer; `none` means that the answer comes
  later. -/
  | ask (request : EffectRequest) (answer : Option Outcome)

/-- The driver performs an action. -/
def Driven.act (d : Driven) (a : Action) : Driven :=
  let acted := d.machine.act a
  { machine := acted.machine
    events := app d.events acted.shown.events
    asked := acted.shown.request }

/-- The world answers a request; `none` means that it answers later. -/
def Driven.answer (d : Driven) (q : EffectRequest) : Option Outcome → Driven
  | none => { d with asked := none }
  | some outcome => d.act (.input (.outcome q.effect outcome))

/-- Applies an entry. -/
def Driven.after (d : Driven) : Entry → Driven
  | .act a => d.act a
  | .ask q answer => d.answer q answer

/-- A driver and its world: what the driver does when no request is open, and how a request is
answered. Both may depend on all entries so far. -/
structure World where
  next : List Entry → Action
  answer : List Entry → EffectRequest → Option Outcome

/-- A world whose driver only takes turns. -/
def World.turns (handler : EffectRequest → Option Outcome) : World :=
  { next := fun _ => .turn, answer := fun _ => handler }

/-- The next entry in a world. -/
def World.entry (w : World) (past : List Entry) (d : Driven) : Entry :=
  match d.asked with
  | some q => .ask q (w.answer past q)
  | none => .act (w.next past)

/-- The next `n` entries in a world: the state to which they lead, and their recording. -/
def World.live (w : World) (past : List Entry) (d : Driven) : Nat → Driven × List Entry
  | 0 => (d, [])
  | n + 1 =>
    let e := w.entry past d
    let r := w.live (app past [e]) (d.after e) n
    (r.1, e :: r.2)

/-- Whether an entry can come next: an action if no request is open, or the open request. -/
def Driven.accepts (d : Driven) : Entry → Bool
  | .act _ => match d.asked with
    | none => true
    | some _ => false
  | .ask q _ => match d.asked with
    | none => false
    | some q' => sameRequest q q'

/-- Replays a recording; `none` if some entry cannot come next. -/
def Driven.replay (d : Driven) : List Entry → Option Driven
  | [] => some d
  | e :: es => match d.accepts e with
    | true => (d.after e).replay es
    | false => none

/-- The world that acts and answers as a recording says. -/
def recordedWorld (log : List Entry) : World where
  next past := match getAt log (len past) with
    | some (.act a) => a
    | _ => .turn
  answer past _ := match getAt log (len past) with
    | some (.ask _ answer) => answer
    | _ => none

theorem accepts_act {d : Driven} {a : Action} : d.accepts (.act a) = true ↔ d.asked = none := by
  cases h : d.asked <;> simp [Driven.accepts, h]

theorem accepts_ask {d : Driven} {q : EffectRequest} {answer : Option Outcome} :
    d.accepts (.ask q answer) = true ↔ d.asked = some q := by
  cases h : d.asked with
  | none => simp [Driven.accepts, h]
  | some q' => simp only [Driven.accepts, h, sameRequest_iff, Option.some.injEq]; exact eq_comm

/-- A replay accepts the next entry of any world. -/
theorem accepts_entry (w : World) (past : List Entry) (d : Driven) :
    d.accepts (w.entry past d) = true := by
  cases h : d.asked with
  | none => simp only [World.entry, h]; exact accepts_act.2 h
  | some q => simp only [World.entry, h]; exact accepts_ask.2 h

/-- A recording is replayed by replaying its first part and then the rest. -/
theorem replay_append (d : Driven) (before after : List Entry) :
    d.replay (before ++ after) = (d.replay before).bind fun d => d.replay after := by
  induction before generalizing d with
  | nil => rfl
  | cons e es ih =>
    simp only [List.cons_append, Driven.replay]
    split
    · exact ih _
    · rfl

theorem live_length (w : World) (past : List Entry) (d : Driven) (n : Nat) :
    (w.live past d n).2.length = n := by
  induction n generalizing past d with
  | zero => rfl
  | succ n ih => simp [World.live, ih]

/-- Replaying the recording of a run from the same start gives the same machine, the same events and
the same open request, whatever the driver did and the world answered. -/
theorem replay_sound (w : World) (past : List Entry) (d : Driven) (n : Nat) :
    d.replay (w.live past d n).2 = some (w.live past d n).1 := by
  induction n generalizing past d with
  | zero => rfl
  | succ n ih => simp only [World.live, Driven.replay, accepts_entry]; exact ih _ _

/-- Replaying the recording of a run gives the same result as the run if the driver only takes
turns. -/
theorem replay_sound_turns (handler : EffectRequest → Option Outcome) (m : Machine) (n : Nat) :
    let start : Driven := { machine := m, events := [], asked := none }
    start.replay ((World.turns handler).live [] start n).2 =
      some ((World.turns handler).live [] start n).1 :=
  replay_sound _ _ _ _

/-- In the world of a recording, an entry that a replay accepts is the next entry. -/
theorem recorded_entry {past rest : List Entry} {e : Entry} {d : Driven} (h : d.accepts e = true) :
    (recordedWorld (past ++ e :: rest)).entry past d = e := by
  cases e with
  | act a =>
    have := accepts_act.1 h
    simp [World.entry, this, recordedWorld]
  | ask q answer =>
    have := accepts_ask.1 h
    simp [World.entry, this, recordedWorld]

/-- In the world of a recording, an accepted part is what happens from the place where that part
begins. -/
theorem live_recorded (past log rest : List Entry) {d d' : Driven} (h : d.replay log = some d') :
    (recordedWorld (past ++ (log ++ rest))).live past d log.length = (d', log) := by
  induction log generalizing past d with
  | nil => simp [Driven.replay] at h; simp [World.live, h]
  | cons e es ih =>
    simp only [Driven.replay] at h
    split at h
    · rename_i ok
      have := ih (past ++ [e]) h
      simp only [List.append_assoc, List.cons_append, List.nil_append] at this
      simp [World.live, recorded_entry ok, this]
    · cases h

/-- A replay accepts a recording exactly when the recording is that of a run in the recording's own
world, and both lead to the same state. -/
theorem replay_iff (log : List Entry) (d d' : Driven) :
    d.replay log = some d' ↔ (recordedWorld log).live [] d log.length = (d', log) := by
  constructor
  · intro h
    simpa using live_recorded [] log [] h
  · intro h
    have := replay_sound (recordedWorld log) [] d log.length
    rw [h] at this
    exact this

/-- If a replay accepts a recording, every request in it is the one that the machine issues at that
point of the run with these answers, and the replay ends with the machine and the events of that
run. -/
theorem replay_faithful (log : List Entry) (d d' : Driven) (accepted : d.replay log = some d') :
    (recordedWorld log).live [] d log.length = (d', log) ∧
      ∀ before q answer after, log = before ++ .ask q answer :: after →
        ∃ now, (recordedWorld log).live [] d before.length = (now, before) ∧
          now.asked = some q ∧ (now.answer q answer).replay after = some d' := by
  refine ⟨(replay_iff log d d').1 accepted, ?_⟩
  rintro before q answer after rfl
  rw [replay_append] at accepted
  cases hb : d.replay before with
  | none => simp [hb] at accepted
  | some now =>
    simp only [hb, Option.bind_some, Driven.replay] at accepted
    split at accepted
    · rename_i ok
      exact ⟨now, live_recorded [] before _ hb, accepts_ask.1 ok, accepted⟩
    · cases accepted

/-- A replay refuses a recording if it accepts a first part and the request that comes next differs
from what the machine then requests. -/
theorem replay_refuses {before after : List Entry} {q : EffectRequest} {answer : Option Outcome}
    {d now : Driven} (accepted : d.replay before = some now) (other : now.asked ≠ some q) :
    d.replay (before ++ .ask q answer :: after) = none := by
  have : now.accepts (.ask q answer) = false := by
    rw [← Bool.not_eq_true, accepts_ask]; exact other
  simp [replay_append, accepted, Driven.replay, this]

/-- A replay refuses a recording in which an action comes where a request is open. -/
theorem replay_refuses_omission {before after : List Entry} {a : Action} {d now : Driven}
    (accepted : d.replay before = some now) (outstanding : now.asked ≠ none) :
    d.replay (before ++ .act a :: after) = none := by
  have : now.accepts (.act a) = false := by
    rw [← Bool.not_eq_true, accepts_act]; exact outstanding
  simp [replay_append, accepted, Driven.replay, this]

/-- Two runs from the same start with the same recording, in any worlds, end with the same machine
and the same events. -/
theorem replay_deterministic (v w : World) (past past' : List Entry) (d : Driven) (k n : Nat)
    (same : (v.live past d k).2 = (w.live past' d n).2) :
    (v.live past d k).1 = (w.live past' d n).1 := by
  have hv := replay_sound v past d k
  have hw := replay_sound w past' d n
  rw [same, hw] at hv
  exact (Option.some.inj hv).symm

end Antiphon
