module

public import Runtime.Proofs.Safety.Runs
public import Runtime.ProtocolMachine.Codec.Image

@[expose] public section

/-!
# Tests of the theorems on safety certificates

A certificate that is accepted, certificates that are refused, and checkers that each leave out one
test and so accept a certificate of an image that reaches a bad configuration.
-/

namespace Antiphon.Tests.Safety

/-- A branch with payload sort `unit`. -/
def branch (label next : Nat) : Transition := { label, sort := 0, next }

/-- An image whose roles only send and receive. -/
def speaking (roles : List Role) : CodeImage where
  name := []
  version := 0
  roles
  labels := [[120], [121]]
  sorts := [.unit]
  interfaces := []
  operations := []
  programs := [{ name := [], registers := 2, code := [.set 1 .unit, .send 0 0 1, .receive 0 1 1, .halt] },
    { name := [], registers := 2, code := [.receive 0 0 1, .send 0 1 1, .halt] }]

/-- An image of two roles. -/
def pair (a b : List AutomatonState) : CodeImage :=
  speaking [{ name := [65], states := a }, { name := [66], states := b }]

/-- A certificate for buffers of one message. -/
def rows (rows : List (List Nat)) : SafetyCertificate := { bound := 1, rows }

/-- The configuration with the states of two roles and the labels in the only buffer. -/
def here (a b : Nat) (labels : List Nat) : Configuration := { states := [a, b], buffers := [labels] }

/-- A sends a question and B answers. -/
def talk : CodeImage :=
  pair [.send 1 [branch 0 1], .recv 1 [branch 1 2], .done] [.recv 0 [branch 0 1], .send 0 [branch 1 2], .done]

/-- All configurations of `talk`: the start; the question sent and received; the answer sent and
received. -/
def talks : SafetyCertificate :=
  rows [[0, 0, noLabel, noLabel], [1, 0, 0, noLabel], [1, 1, noLabel, noLabel], [1, 2, noLabel, 1],
    [2, 2, noLabel, noLabel]]

/-! ## The hypotheses can hold -/

example : checkCertificate talk talks = true := by decide

/-- A successor of a reachable configuration is reachable. -/
theorem reached {i : Loaded} {bound : Nat} {c d : Configuration} {next : List Configuration} (h : Reachable i bound c)
    (all : successors i bound c = next) (mem : d ∈ next) : Reachable i bound d :=
  .step h (mem_successors.mp (all ▸ mem))

/-- A configuration other than the start is reachable. -/
example : Reachable (talk.load []) 1 { states := [1, 1], buffers := [[], []] } :=
  reached (reached .start (next := [{ states := [1, 0], buffers := [[0], []] }]) rfl List.mem_cons_self)
    (next := [{ states := [1, 1], buffers := [[], []] }]) rfl List.mem_cons_self

/-- The bytes that the compiler's exploration writes for `talk`. -/
def talksBytes : Bytes :=
  [133, 1, 1, 4, 5, 87, 0, 1, 1, 0, 0, 0, 2, 1, 1, 0, 1, 2, 0, 0, 1, 3, 0, 2, 0, 3, 3, 0, 0]

/-! ## Certificates that are refused, with the reason -/

example : examine (talk.load []) (rows [[1, 0, 0, noLabel], [1, 1, noLabel, noLabel], [1, 2, noLabel, 1],
    [2, 2, noLabel, noLabel]]) = .noStart := by decide

example : examine (talk.load []) (rows [[0, 0, noLabel, noLabel], [1, 0, 0, noLabel], [1, 2, noLabel, 1],
    [2, 2, noLabel, noLabel]]) = .leak 1 := by decide

example : examine (talk.load []) (rows [[0, 0, noLabel, noLabel], [0, 2, noLabel, noLabel]]) = .leak 0 := by decide

example : examine (talk.load []) (rows [[0, 0, noLabel]]) = .foreign 0 := by decide

example : examine (talk.load []) (rows [[0, 0, noLabel, noLabel], [3, 0, noLabel, noLabel]]) = .foreign 1 := by decide

/-! ## Checkers that leave out a test -/

/-- The tests of a checker. -/
structure Parts where
  bad : Loaded → Nat → Configuration → List Configuration → Bool
  inside : Explored → List Configuration → Bool
  begins : Explored → Configuration → Bool

/-- The tests of the real checker. -/
noncomputable def parts : Parts := { bad := Antiphon.bad, inside := Explored.hasAll, begins := fun set c => set.has c }

def closedBy (p : Parts) (i : Loaded) (bound : Nat) (set : Explored) (index : Nat) : List Configuration → Verdict
  | [] => .accepted
  | c :: cs => match successors i bound c with
    | next => match p.bad i bound c next with
      | true => .bad index
      | false => match p.inside set next with
        | false => .leak index
        | true => closedBy p i bound set (index + 1) cs

def examineBy (p : Parts) (i : Loaded) (certificate : SafetyCertificate) : Verdict :=
  match unpackRows i certificate.places 0 [] certificate.rows with
  | .error index => .foreign index
  | .ok cs => match Explored.of cs with
    | set => match p.begins set i.beginning with
      | false => .noStart
      | true => closedBy p i certificate.places set 0 cs

def checkBy (p : Parts) (image : CodeImage) (certificate : SafetyCertificate) : Bool :=
  match examineBy p (image.load []) certificate with
  | .accepted => true
  | _ => false

theorem closedBy_parts (i : Loaded) (bound : Nat) (set : Explored) (index : Nat) (cs : List Configuration) :
    closedBy parts i bound set index cs = closed i bound set index cs := by
  induction cs generalizing index with
  | nil => rfl
  | cons c cs ih => simp only [closedBy, closed, parts, ← ih] <;> rfl

/-- A checker with the real tests is the real checker, so each checker below differs from it in one
test. -/
theorem checkBy_parts (image : CodeImage) (certificate : SafetyCertificate) :
    checkBy parts image certificate = checkCertificate image certificate := by
  unfold checkBy checkCertificate examineBy examine
  cases unpackRows (image.load []) certificate.places 0 [] certificate.rows with
  | error n => rfl
  | ok cs =>
    simp only [closedBy_parts]
    generalize Explored.of cs = set
    rfl

/-- A configuration that a safe image never reaches. -/
def Wrong (i : Loaded) (bound : Nat) (c : Configuration) : Prop :=
  Deadlock i bound c ∨ ReceptionError i c ∨ Orphan i c

/-- A checker that accepts a certificate of an image that reaches a bad configuration. -/
def Unsound (check : CodeImage → SafetyCertificate → Bool) : Prop :=
  ∃ image certificate c, check image certificate = true ∧
    Reachable (image.load []) certificate.places c ∧ Wrong (image.load []) certificate.places c

/-- The real checker is sound. -/
theorem checkCertificate_sound : ¬ Unsound checkCertificate := by
  rintro ⟨image, certificate, c, accepted, reached, wrong⟩
  have ⟨d, r, o⟩ := safety_certificate_sound accepted reached
  exact wrong.elim d fun wrong => wrong.elim r o

/-! ### No test that the start is in the set -/

/-- A sends a label that B does not expect. -/
def deaf : CodeImage := pair [.send 1 [branch 1 1], .done] [.recv 0 [branch 0 1], .done]

theorem deaf_reached : Reachable (deaf.load []) 1 (here 1 0 [1]) :=
  reached .start (next := [here 1 0 [1]]) rfl List.mem_cons_self

theorem deaf_wrong : Wrong (deaf.load []) 1 (here 1 0 [1]) :=
  .inr (.inl ⟨1, _, 1, [], rfl, rfl, rfl, by decide⟩)

theorem without_start_unsound : Unsound (checkBy { parts with begins := fun _ _ => true }) :=
  ⟨deaf, rows [], _, by decide, deaf_reached, deaf_wrong⟩

/-! ### No test that steps stay in the set -/

theorem without_closure_unsound : Unsound (checkBy { parts with inside := fun _ _ => true }) :=
  ⟨deaf, rows [[0, 0, noLabel]], _, by decide, deaf_reached, deaf_wrong⟩

/-! ### A test that only the first step of each configuration stays in the set -/

def firstInside (set : Explored) : List Configuration → Bool
  | [] => true
  | c :: _ => set.has c

/-- A sends one of two labels, B expects the first. -/
def half : CodeImage := pair [.send 1 [branch 0 1, branch 1 1], .done] [.recv 0 [branch 0 1], .done]

theorem half_reached : Reachable (half.load []) 1 (here 1 0 [1]) :=
  reached .start (next := [here 1 0 [0], here 1 0 [1]]) rfl (List.mem_cons_of_mem _ List.mem_cons_self)

theorem half_wrong : Wrong (half.load []) 1 (here 1 0 [1]) :=
  .inr (.inl ⟨1, _, 1, [], rfl, rfl, rfl, by decide⟩)

theorem without_all_steps_unsound : Unsound (checkBy { parts with inside := firstInside }) :=
  ⟨half, rows [[0, 0, noLabel], [1, 0, 0], [1, 1, noLabel]], _, by decide, half_reached, half_wrong⟩

/-! ### A test that does not compare the labels in buffers -/

/-- Whether the set contains a configuration with these states. -/
def hasStates (states : List Nat) : Explored → Bool
  | .none => false
  | .node left d right => match orderNumbers states d.states with
    | .same => true
    | _ => match hasStates states left with
      | true => true
      | false => hasStates states right

def statesInside (set : Explored) : List Configuration → Bool
  | [] => true
  | c :: cs => match hasStates c.states set with
    | true => statesInside set cs
    | false => false

theorem without_buffers_unsound : Unsound (checkBy { parts with inside := statesInside }) :=
  ⟨half, rows [[0, 0, noLabel], [1, 0, 0], [1, 1, noLabel]], _, by decide, half_reached, half_wrong⟩

/-! ### No test for messages that cannot be received -/

def badButReceptions (i : Loaded) (_ : Nat) (c : Configuration) (next : List Configuration) : Bool :=
  match orphaned i c i.edges c.buffers with
  | true => true
  | false => match next with
    | _ :: _ => false
    | [] => false

theorem without_receptions_unsound : Unsound (checkBy { parts with bad := badButReceptions }) :=
  ⟨deaf, rows [[0, 0, noLabel], [1, 0, 1]], _, by decide, deaf_reached, deaf_wrong⟩

/-! ### No test for messages to a role that is done -/

def badButOrphans (i : Loaded) (bound : Nat) (c : Configuration) (next : List Configuration) : Bool :=
  match misreadsBelow i bound c (len c.states) with
  | true => true
  | false => match next with
    | _ :: _ => false
    | [] => !endedBelow i c (len c.states)

/-- A sends to B, which is done. -/
def gone : CodeImage := pair [.send 1 [branch 0 1], .done] [.done]

theorem without_orphans_unsound : Unsound (checkBy { parts with bad := badButOrphans }) :=
  ⟨gone, rows [[0, 0, noLabel], [1, 0, 0]], here 1 0 [0], by decide,
    reached .start (next := [here 1 0 [0]]) rfl List.mem_cons_self,
    .inr (.inr ⟨0, (0, 1), 0, [], rfl, rfl, _, rfl, rfl⟩)⟩

/-! ### No test for deadlocks -/

def badButDeadlocks (i : Loaded) (bound : Nat) (c : Configuration) (_ : List Configuration) : Bool :=
  match misreadsBelow i bound c (len c.states) with
  | true => true
  | false => orphaned i c i.edges c.buffers

/-- Each role waits for the other. -/
def shy : CodeImage := pair [.recv 1 [branch 0 1], .done] [.recv 0 [branch 0 1], .done]

theorem shy_stuck : Deadlock (shy.load []) 1 (shy.load []).beginning := by
  refine ⟨⟨0, by decide, ?_⟩, fun d moves => ?_⟩
  · rw [← ended_iff]
    decide
  · have := mem_successors.mpr moves
    rw [show successors (shy.load []) 1 (shy.load []).beginning = [] from rfl] at this
    cases this

theorem without_deadlocks_unsound : Unsound (checkBy { parts with bad := badButDeadlocks }) :=
  ⟨shy, rows [[0, 0, noLabel, noLabel]], _, by decide, .start, .inl shy_stuck⟩

/-- The real checker refuses each of these certificates. -/
example : (checkCertificate deaf (rows []) || checkCertificate deaf (rows [[0, 0, noLabel]]) ||
    checkCertificate deaf (rows [[0, 0, noLabel], [1, 0, 1]]) ||
    checkCertificate half (rows [[0, 0, noLabel], [1, 0, 0], [1, 1, noLabel]]) ||
    checkCertificate gone (rows [[0, 0, noLabel], [1, 0, 0]]) ||
    checkCertificate shy (rows [[0, 0, noLabel, noLabel]])) = false := by decide

/-! ## The bound -/

/-- A sends two messages to B and expects `x` from C; C sends `y` to A; B and C communicate forever
and B never receives from A. -/
def ahead : CodeImage :=
  speaking [
    { name := [65], states := [.send 1 [branch 0 1], .send 1 [branch 0 2], .recv 2 [branch 0 3], .done] },
    { name := [66], states := [.send 2 [branch 0 0]] },
    { name := [67], states := [.send 0 [branch 1 1], .recv 1 [branch 0 1]] }]

/-- The configurations of `ahead` if a buffer has room for one message: A waits forever. -/
def waits : SafetyCertificate :=
  rows [[0, 0, 0, noLabel, 0, noLabel], [0, 0, 0, noLabel, noLabel, noLabel], [0, 0, 1, noLabel, 0, 1],
    [0, 0, 1, noLabel, noLabel, 1], [1, 0, 0, 0, 0, noLabel], [1, 0, 0, 0, noLabel, noLabel], [1, 0, 1, 0, 0, 1],
    [1, 0, 1, 0, noLabel, 1]]

/-- A certificate means nothing for larger buffers than its own: with room for two messages, A's
next message is one that it does not expect. -/
theorem bound_matters : checkCertificate ahead waits = true ∧ waits.places = 1 ∧
    ∃ c, Reachable (ahead.load []) 2 c ∧ ReceptionError (ahead.load []) c := by
  refine ⟨by decide, rfl, { states := [2, 0, 1], buffers := [[0, 0], [], [1]] }, ?_, ⟨0, _, 1, [], rfl, rfl, rfl, by decide⟩⟩
  have one : Reachable (ahead.load []) 2 { states := [1, 0, 0], buffers := [[0], [], []] } :=
    reached .start (next := [_, { states := [0, 0, 0], buffers := [[], [0], []] },
      { states := [0, 0, 1], buffers := [[], [], [1]] }]) rfl List.mem_cons_self
  have two : Reachable (ahead.load []) 2 { states := [2, 0, 0], buffers := [[0, 0], [], []] } :=
    reached one (next := [_, { states := [1, 0, 0], buffers := [[0], [0], []] },
      { states := [1, 0, 1], buffers := [[0], [], [1]] }]) rfl List.mem_cons_self
  exact reached two (next := [{ states := [2, 0, 0], buffers := [[0, 0], [0], []] }, _]) rfl
    (List.mem_cons_of_mem _ List.mem_cons_self)

/-! ## Runs -/

def config : ProtocolMachineConfig where
  policy := .roundRobin
  priorities := []
  bufferMax := 1
  payloadMax := 64
  coroutinesMax := 4
  sessionsMax := 4
  witnessesMax := 4
  witnessTtl := 10
  effectBudget := none
  determinismMode := .full

noncomputable def ran : Run :=
  runOf config [talk.load [7]] [.input (.open [7] []), .pick ⟨0, 0⟩, .pick ⟨0, 0⟩]

/-- The hypotheses of `certified_sessions_safe` hold for a session that has changed: A has sent the
question. -/
example : checkCertificate talk talks = true ∧ config.bufferMax = talks.places ∧
    ∃ s, ran.machine.sessions[0]? = some s ∧ [talk.load [7]][s.image]? = some (talk.load [7]) ∧
      s.configuration = { states := [1, 0], buffers := [[0], []] } :=
  ⟨by decide, rfl, _, rfl, rfl, rfl⟩

/-! ### `certified_sessions_safe`: checkers that leave out a test, and hypotheses left out -/

/-- An image with other programs for its two roles. -/
def running (image : CodeImage) (a b : List Instruction) : CodeImage :=
  { image with programs := [{ name := [], registers := 2, code := a }, { name := [], registers := 2, code := b }] }

/-- A run of one session of an image with the given `bufferMax`, after these picks. -/
noncomputable def runOn (bufferMax : Nat) (image : CodeImage) (picks : List Pick) : Run :=
  runOf { config with bufferMax } [image.load [7]] (.input (.open [7] []) :: picks.map .pick)

/-- The statement of `certified_sessions_safe` for a checker, with the conditions on the buffers as
parameters. -/
def SafeInRuns (check : CodeImage → SafetyCertificate → Bool) (buffers : Nat → SafetyCertificate → Prop)
    (equal : Nat → SafetyCertificate → Prop) : Prop :=
  ∀ {config : ProtocolMachineConfig} {images : List Loaded} {as : List Action} {n : Nat} {s : Session} {image : CodeImage}
    {digest : Bytes} {certificate : SafetyCertificate}, check image certificate = true →
    (runOf config images as).machine.sessions[n]? = some s → images[s.image]? = some (image.load digest) →
    buffers config.bufferMax certificate →
    ¬ ReceptionError (image.load digest) s.configuration ∧ ¬ Orphan (image.load digest) s.configuration ∧
      (equal config.bufferMax certificate → ¬ Deadlock (image.load digest) config.bufferMax s.configuration)

/-- The machine's buffers hold at most as many messages as the certificate's. -/
def Within (bufferMax : Nat) (certificate : SafetyCertificate) : Prop := bufferMax ≤ certificate.places

/-- The machine's buffers hold exactly as many messages as the certificate's. -/
def Equal (bufferMax : Nat) (certificate : SafetyCertificate) : Prop := bufferMax = certificate.places

/-- The statement holds for the real checker. -/
theorem safeInRuns : SafeInRuns checkCertificate Within Equal := certified_sessions_safe

/-- `deaf` with programs in which A does send what B does not expect. -/
def deafRuns : CodeImage := running deaf [.set 1 .unit, .send 0 1 1, .halt] [.receive 0 0 1, .halt]

theorem without_receptions_runs_unsafe : ¬ SafeInRuns (checkBy { parts with bad := badButReceptions }) Within Equal := by
  intro h
  have run : ∃ s, (runOn 1 deafRuns [⟨0, 0⟩, ⟨0, 0⟩]).machine.sessions[0]? = some s ∧
      [deafRuns.load [7]][s.image]? = some (deafRuns.load [7]) ∧ s.configuration = here 1 0 [1] := ⟨_, rfl, rfl, rfl⟩
  obtain ⟨s, found, image, is⟩ := run
  have ⟨reception, _⟩ := h (certificate := rows [[0, 0, noLabel], [1, 0, 1]]) (by decide) found image (Nat.le_refl 1)
  exact reception (is ▸ ⟨1, _, 1, [], rfl, rfl, rfl, by decide⟩)

/-- `gone` with programs in which A does send to B, which is done. -/
def goneRuns : CodeImage := running gone [.set 1 .unit, .send 0 0 1, .halt] [.halt]

theorem without_orphans_runs_unsafe : ¬ SafeInRuns (checkBy { parts with bad := badButOrphans }) Within Equal := by
  intro h
  have run : ∃ s, (runOn 1 goneRuns [⟨0, 0⟩, ⟨0, 0⟩]).machine.sessions[0]? = some s ∧
      [goneRuns.load [7]][s.image]? = some (goneRuns.load [7]) ∧ s.configuration = here 1 0 [0] := ⟨_, rfl, rfl, rfl⟩
  obtain ⟨s, found, image, is⟩ := run
  have ⟨_, orphan, _⟩ := h (certificate := rows [[0, 0, noLabel], [1, 0, 0]]) (by decide) found image (Nat.le_refl 1)
  exact orphan (is ▸ ⟨0, (0, 1), 0, [], rfl, rfl, _, rfl, rfl⟩)

theorem without_deadlocks_runs_unsafe : ¬ SafeInRuns (checkBy { parts with bad := badButDeadlocks }) Within Equal := by
  intro h
  have run : ∃ s, (runOn 1 shy []).machine.sessions[0]? = some s ∧
      [shy.load [7]][s.image]? = some (shy.load [7]) ∧ s.configuration = (shy.load []).beginning := ⟨_, rfl, rfl, rfl⟩
  obtain ⟨s, found, image, is⟩ := run
  have ⟨_, _, deadlock⟩ := h (certificate := rows [[0, 0, noLabel, noLabel]]) (by decide) found image (Nat.le_refl 1)
  refine deadlock rfl (is ▸ ⟨shy_stuck.1, fun d moves => shy_stuck.2 d (moves.of_digest [])⟩)

/-- `ahead` with programs that run until A's next message is one that it does not expect. -/
def aheadRuns : CodeImage :=
  { ahead with programs := [
      { name := [], registers := 2, code := [.set 1 .unit, .send 0 0 1, .send 0 0 1, .receive 0 0 1, .halt] },
      { name := [], registers := 2, code := [.set 1 .unit, .send 0 0 1, .jump 1] },
      { name := [], registers := 2, code := [.set 1 .unit, .send 0 1 1, .halt] }] }

/-- The machine's buffers hold at least as many messages as the certificate's. -/
def Larger (bufferMax : Nat) (certificate : SafetyCertificate) : Prop := certificate.places ≤ bufferMax

/-- A certificate does not cover machines with larger buffers: `certified_sessions_safe` fails
without its bound, and so does `certified_sessions_safe_larger_buffers` without `hasRoom`. -/
theorem without_bound_runs_unsafe : ¬ SafeInRuns checkCertificate Larger Equal := by
  intro h
  have run : ∃ s, (runOn 2 aheadRuns [⟨0, 0⟩, ⟨0, 0⟩, ⟨0, 0⟩, ⟨0, 2⟩, ⟨0, 2⟩]).machine.sessions[0]? = some s ∧
      [aheadRuns.load [7]][s.image]? = some (aheadRuns.load [7]) ∧
      s.configuration = { states := [2, 0, 1], buffers := [[0, 0], [], [1]] } := ⟨_, rfl, rfl, rfl⟩
  obtain ⟨s, found, image, is⟩ := run
  have ⟨reception, _⟩ := h (certificate := waits) (by decide) found image (show 1 ≤ 2 by decide)
  exact reception (is ▸ ⟨0, _, 1, [], rfl, rfl, rfl, by decide⟩)

/-- A certificate does not exclude deadlocks of a machine with smaller buffers: with buffers of size
0, no role can send. -/
theorem with_less_room_runs_unsafe : ¬ SafeInRuns checkCertificate Within fun _ _ => True := by
  intro h
  have run : ∃ s, (runOn 0 talk []).machine.sessions[0]? = some s ∧
      [talk.load [7]][s.image]? = some (talk.load [7]) ∧ s.configuration = (talk.load [7]).beginning := ⟨_, rfl, rfl, rfl⟩
  obtain ⟨s, found, image, is⟩ := run
  have ⟨_, _, deadlock⟩ := h (certificate := talks) (by decide) found image (Nat.zero_le _)
  refine deadlock trivial (is ▸ ⟨⟨0, by decide, ?_⟩, fun d moves => ?_⟩)
  · rw [← ended_iff]
    decide
  · have := mem_successors.mpr moves
    rw [show successors (talk.load [7]) 0 (talk.load [7]).beginning = [] from rfl] at this
    cases this

/-! ## `certified_safe_larger_buffers` and its corollary: tests for room that leave something out -/

/-- The hypotheses hold: in `talk` no role waits for room, so a machine with the default buffers of
64 messages is covered. -/
example : checkCertificate talk talks = true ∧ hasRoom talk talks = true ∧ talks.places ≤ 64 ∧
    ∃ s, (runOn 64 talk [⟨0, 0⟩, ⟨0, 0⟩]).machine.sessions[0]? = some s ∧
      [talk.load [7]][s.image]? = some (talk.load [7]) ∧ s.configuration = { states := [1, 0], buffers := [[0], []] } :=
  ⟨by decide, by decide, by decide, _, rfl, rfl, rfl⟩

/-- The statement of `certified_safe_larger_buffers` for a test for room. -/
def SafeInLarger (room : CodeImage → SafetyCertificate → Bool) : Prop :=
  ∀ {image : CodeImage} {certificate : SafetyCertificate}, checkCertificate image certificate = true →
    room image certificate = true → ∀ {bound : Nat}, certificate.places ≤ bound → ∀ {c : Configuration},
    Reachable (image.load []) bound c → Reachable (image.load []) certificate.places c ∧ ¬ Deadlock (image.load []) bound c ∧
      ¬ ReceptionError (image.load []) c ∧ ¬ Orphan (image.load []) c

/-- The statement holds for the real test. -/
theorem safeInLarger : SafeInLarger hasRoom := certified_safe_larger_buffers

/-- In `ahead` a role waits for room. -/
example : hasRoom ahead waits = false := by decide

/-- The statement fails for every test that accepts `ahead`. -/
theorem larger_unsafe {room : CodeImage → SafetyCertificate → Bool} (h : room ahead waits = true) : ¬ SafeInLarger room := by
  intro safe
  obtain ⟨accepted, places, c, reached, error⟩ := bound_matters
  exact (safe accepted h (bound := 2) (by decide) reached).2.2.1 error

/-- The statement fails without a test. -/
theorem without_room_unsafe : ¬ SafeInLarger fun _ _ => true := larger_unsafe rfl

/-- The statement fails for a test of one row only, the second: in `waits` it is the start. -/
theorem room_in_one_row_unsafe : ¬ SafeInLarger fun image certificate =>
    hasRoom image { certificate with rows := (certificate.rows.drop 1).take 1 } := larger_unsafe (by decide)

/-- A test of the third role only, which always has room. -/
noncomputable def roomOfThird (image : CodeImage) (certificate : SafetyCertificate) : Bool :=
  match unpackRows (image.load []) certificate.places 0 [] certificate.rows with
  | .error _ => false
  | .ok cs => cs.all fun c => !c.lacksRoom (image.load []) certificate.places 2

theorem room_of_third_unsafe : ¬ SafeInLarger roomOfThird := larger_unsafe (by decide)

/-- A test that considers a buffer full one message too late. -/
def roomTooLate (image : CodeImage) (certificate : SafetyCertificate) : Bool :=
  match unpackRows (image.load []) certificate.places 0 [] certificate.rows with
  | .error _ => false
  | .ok cs => roomy (image.load []) (certificate.places + 1) cs

theorem room_too_late_unsafe : ¬ SafeInLarger roomTooLate := larger_unsafe (by decide)

/-! ## The bytes -/

/-- The hypothesis of `judged_sound` holds for some bytes. -/
example : judge (encImage talk []) talksBytes = .examined .accepted := by decide

example : judge (encImage talk []) (talksBytes ++ [0]) = .noCertificate := by decide

example : judge (encImage deaf []) talksBytes = .examined (.foreign 0) := by decide

/-- The statement of `judged_sound` for a judge. -/
def SoundJudge (judge : Bytes → Bytes → Judged) : Prop :=
  ∀ {b d : Bytes}, judge b d = .examined .accepted →
    ∃ image certificate, decImage b = some (image, []) ∧ readCertificate d = some certificate ∧
      ∀ c, Reachable (image.load []) certificate.places c →
        ¬ Deadlock (image.load []) certificate.places c ∧ ¬ ReceptionError (image.load []) c ∧
          ¬ Orphan (image.load []) c

/-- The statement holds for the real judge. -/
theorem soundJudge : SoundJudge judge := judged_sound

/-- A judge that ignores bytes after the image. -/
def judgeRest (image certificate : Bytes) : Judged :=
  match decImage image with
  | some (image, _) => match readCertificate certificate with
    | none => .noCertificate
    | some certificate => .examined (examine (image.load []) certificate)
  | none => .noImage

/-- It accepts bytes that are not an image. -/
theorem rest_judge_unsound : ¬ SoundJudge judgeRest := by
  intro h
  obtain ⟨image, _, read, -⟩ := h (b := encImage talk [0]) (d := talksBytes) (by decide)
  have : (decImage (encImage talk [0])).map (fun p => p.2) = some [0] := by decide
  rw [read] at this
  cases this

/-- A judge that does not test for messages that cannot be received. -/
noncomputable def judgeDeaf (image certificate : Bytes) : Judged :=
  match decImage image with
  | some (image, []) => match readCertificate certificate with
    | none => .noCertificate
    | some certificate => .examined (examineBy { parts with bad := badButReceptions } (image.load []) certificate)
  | _ => .noImage

/-- The bytes of a certificate for `deaf`. -/
def deafBytes : Bytes := [133, 1, 1, 3, 2, 72, 0, 1, 1, 0, 0, 2, 1, 2]

example : readCertificate deafBytes = some (rows [[0, 0, noLabel], [1, 0, 1]]) := by rfl

/-- It accepts the bytes of an image that is not safe. -/
theorem deaf_judge_unsound : ¬ SoundJudge judgeDeaf := by
  intro h
  obtain ⟨image, certificate, read, readToo, safe⟩ := h (b := encImage deaf []) (d := deafBytes) (by decide)
  have deafRead : decImage (encImage deaf []) = some (deaf, []) := rfl
  rw [deafRead] at read
  cases read
  rw [show readCertificate deafBytes = some (rows [[0, 0, noLabel], [1, 0, 1]]) from rfl] at readToo
  cases readToo
  exact (safe _ deaf_reached).2.1 ⟨1, _, 1, [], rfl, rfl, rfl, by decide⟩

/-- A judge that reads only the image. -/
def judgeBlind (image _ : Bytes) : Judged :=
  match decImage image with
  | some (_, []) => .examined .accepted
  | _ => .noImage

/-- It accepts bytes that are not a certificate. -/
theorem blind_judge_unsound : ¬ SoundJudge judgeBlind := by
  intro h
  obtain ⟨_, _, _, read, -⟩ := h (b := encImage talk []) (d := []) (by decide)
  rw [show readCertificate [] = none from rfl] at read
  cases read

end Antiphon.Tests.Safety
