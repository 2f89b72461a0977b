module

public import Runtime.ProtocolMachine.Runtime.ThreadedRunner
public import Runtime.ProtocolMachine.Codec.State
public import Runtime.ProtocolMachine.Codec.Action

@[expose] public section

/-!
# A recording as a theorem

`antiphon certify --kernel` writes a Lean file with a recording's case, the output of its run and
its last state, and with a theorem that states `IsRun` for the three. The proof is an evaluation by
Lean's kernel, so it relies on neither a compiler nor an interpreter.
-/

namespace Antiphon

/-- The low `2 ^ depth` bytes of a number, most significant first, before `k`. It halves the number
repeatedly, which is faster than splitting off single bytes. -/
def unpackNumber : Nat → Nat → Bytes → Bytes
  | 0, n, k => UInt8.ofNat n :: k
  | depth + 1, n, k => unpackNumber depth (n / 256 ^ 2 ^ depth) (unpackNumber depth (n % 256 ^ 2 ^ depth) k)

/-- The bytes without the first `n`. -/
def dropBytes : Nat → Bytes → Bytes
  | 0, b => b
  | _ + 1, [] => []
  | n + 1, _ :: b => dropBytes n b

/-- The low `count` bytes of a number, most significant first; `count` is at most `2 ^ depth`. A
number is the literal that Lean parses fastest. -/
def bytesOf (count depth n : Nat) : Bytes := dropBytes (2 ^ depth - count) (unpackNumber depth n [])

/-- Encodes what an action shows without the machine's state: the result, the events, the request or
`null`. -/
def encTold (s : Shown) : Bytes :=
  encResult s.result (encArray encObsEvent s.events (encOption encRequest s.request []))

/-- The concatenated output of a list of actions. -/
def Machine.told (m : Machine) : List Action → Bytes
  | [] => []
  | a :: as => app (encTold (m.act a).shown) ((m.act a).machine.told as)

/-- The machine after a list of actions. -/
def Machine.after (m : Machine) : List Action → Machine
  | [] => m
  | a :: as => (m.act a).machine.after as

/-- `recording` encodes a case; when the model runs it, its output is exactly `log` and its last
state has exactly the encoding `state`. -/
def IsRun (recording log state : Bytes) : Prop :=
  ∃ c, readCase recording = some c ∧ c.machine.told c.actions = log ∧
    encMachine (c.machine.after c.actions) [] = state

/-- The rest of the second byte string after the first one; `none` if it does not start with the
first one. -/
def stripped : Bytes → Bytes → Option Bytes
  | [], b => some b
  | _ :: _, [] => none
  | x :: xs, y :: ys => match Nat.beq x.toNat y.toNat with
    | true => stripped xs ys
    | false => none

/-- Evaluates a run and compares each action's output with the log as soon as it is done. The
machine is taken apart and put together again so that the kernel does not carry unevaluated terms
along. -/
def followed (m : Machine) (log state : Bytes) : List Action → Bool
  | [] => match stripped log [], stripped (encMachine m []) state with
    | some [], some [] => true
    | _, _ => false
  | a :: as => match stripped (encTold (m.act a).shown) log with
    | none => false
    | some log => match (m.act a).machine with
      | { config, images, sessions, queue, clock, stepIndex } =>
        followed { config, images, sessions, queue, clock, stepIndex } log state as

/-- Decides `IsRun` by evaluation; `true` is a proof by `isRun_sound`. -/
def isRun (recording log state : Bytes) : Bool :=
  match readCase recording with
  | none => false
  | some c => followed c.machine log state c.actions

theorem stripped_some {a b rest : Bytes} (h : stripped a b = some rest) : b = a ++ rest := by
  induction a generalizing b with
  | nil => simpa [stripped] using h
  | cons x xs ih =>
    cases b with
    | nil => simp [stripped] at h
    | cons y ys =>
      simp only [stripped] at h
      split at h
      · rename_i same
        rw [UInt8.toNat_inj.mp (Nat.eq_of_beq_eq_true same), ih h, List.cons_append]
      · cases h

theorem followed_sound {m : Machine} {log state : Bytes} {as : List Action}
    (h : followed m log state as = true) :
    m.told as = log ∧ encMachine (m.after as) [] = state := by
  induction as generalizing m log with
  | nil =>
    simp only [followed] at h
    split at h
    · rename_i whole ends
      have nothing := stripped_some whole
      have same := stripped_some ends
      simp only [List.append_nil] at nothing same
      exact ⟨nothing, same.symm⟩
    · cases h
  | cons a as ih =>
    simp only [followed] at h
    split at h
    · cases h
    · rename_i rest told
      have done := ih h
      refine ⟨?_, done.2⟩
      rw [Machine.told, app_eq, stripped_some told]
      exact congrArg _ done.1

/-- If `isRun` evaluates to `true`, `IsRun` holds. -/
theorem isRun_sound (recording log state : Bytes) (h : isRun recording log state = true) :
    IsRun recording log state := by
  simp only [isRun] at h
  split at h
  · cases h
  · rename_i c read
    exact ⟨c, read, followed_sound h⟩

/-- `Machine.after` is the machine of `Run.actAll`, which the other theorems are about. -/
theorem actAll_machine (m : Machine) (events : List ObsEvent) (as : List Action) :
    (Run.actAll { machine := m, events } as).machine = m.after as := by
  induction as generalizing m events with
  | nil => rfl
  | cons a as ih => exact ih _ _

end Antiphon
