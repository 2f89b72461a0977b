module

public import Runtime.Proofs.Safety.Runs
public import Runtime.ProtocolMachine.Codec.Image

@[expose] public section

/-!
# The safety certificate: that it says something

A certificate that is accepted, certificates that are not, and checkers that leave out one thing each: every one of these
accepts the certificate of an image that comes to something bad.
-/

namespace Antiphon.Tests.Safety

/-- A branch with payload `unit`. -/
def branch (label next : Nat) : Transition := { label, sort := 0, next }

/-- An image of roles that do nothing but speak. -/
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

/-- Two roles. -/
def pair (a b : List AutomatonState) : CodeImage :=
  speaking [{ name := [65], states := a }, { name := [66], states := b }]

/-- A certificate for buffers of one. -/
def rows (rows : List (List Nat)) : SafetyCertificate := { bound := 1, rows }

/-- Where the two are and what the only buffer holds. -/
def here (a b : Nat) (labels : List Nat) : Configuration := { states := [a, b], buffers := [labels] }

/-- A asks, B answers. -/
def talk : CodeImage :=
  pair [.send 1 [branch 0 1], .recv 1 [branch 1 2], .done] [.recv 0 [branch 0 1], .send 0 [branch 1 2], .done]

/-- Each of its configurations: start, asked, heard, answered, heard. -/
def talks : SafetyCertificate :=
  rows [[0, 0, noLabel, noLabel], [1, 0, 0, noLabel], [1, 1, noLabel, noLabel], [1, 2, noLabel, 1],
    [2, 2, noLabel, noLabel]]

/-! ## The hypothesis can hold -/

example : checkCertificate talk talks = true := by decide

/-- One step further. -/
theorem reached {i : Loaded} {bound : Nat} {c d : Configuration} {next : List Configuration} (h : Reachable i bound c)
    (all : successors i bound c = next) (mem : d ∈ next) : Reachable i bound d :=
  .step h (mem_successors.mp (all ▸ mem))

/-- Something can be reached, and not only the start. -/
example : Reachable (talk.load []) 1 { states := [1, 1], buffers := [[], []] } :=
  reached (reached .start (next := [{ states := [1, 0], buffers := [[0], []] }]) rfl List.mem_cons_self)
    (next := [{ states := [1, 1], buffers := [[], []] }]) rfl List.mem_cons_self

/-- The bytes that the compiler's exploration writes for it. -/
def talksBytes : Bytes :=
  [133, 1, 1, 4, 5, 87, 0, 1, 1, 0, 0, 0, 2, 1, 1, 0, 1, 2, 0, 0, 1, 3, 0, 2, 0, 3, 3, 0, 0]

/-! ## What is refused, and for what -/

example : examine (talk.load []) (rows [[1, 0, 0, noLabel], [1, 1, noLabel, noLabel], [1, 2, noLabel, 1],
    [2, 2, noLabel, noLabel]]) = .noStart := by decide

example : examine (talk.load []) (rows [[0, 0, noLabel, noLabel], [1, 0, 0, noLabel], [1, 2, noLabel, 1],
    [2, 2, noLabel, noLabel]]) = .leak 1 := by decide

example : examine (talk.load []) (rows [[0, 0, noLabel, noLabel], [0, 2, noLabel, noLabel]]) = .leak 0 := by decide

example : examine (talk.load []) (rows [[0, 0, noLabel]]) = .foreign 0 := by decide

example : examine (talk.load []) (rows [[0, 0, noLabel, noLabel], [3, 0, noLabel, noLabel]]) = .foreign 1 := by decide

/-! ## Checkers that leave something out -/

/-- What a checker does, in parts. -/
structure Parts where
  bad : Loaded → Nat → Configuration → List Configuration → Bool
  inside : Explored → List Configuration → Bool
  begins : Explored → Configuration → Bool

/-- The parts of the real one. -/
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

/-- With the real parts it is the real checker: so each checker below differs from it in one part. -/
theorem checkBy_parts (image : CodeImage) (certificate : SafetyCertificate) :
    checkBy parts image certificate = checkCertificate image certificate := by
  unfold checkBy checkCertificate examineBy examine
  cases unpackRows (image.load []) certificate.places 0 [] certificate.rows with
  | error n => rfl
  | ok cs =>
    simp only [closedBy_parts]
    generalize Explored.of cs = set
    rfl

/-- Something that a safe image never comes to. -/
def Wrong (i : Loaded) (bound : Nat) (c : Configuration) : Prop :=
  Deadlock i bound c ∨ ReceptionError i c ∨ Orphan i c

/-- A checker accepts the certificate of an image that comes to something wrong. -/
def Unsound (check : CodeImage → SafetyCertificate → Bool) : Prop :=
  ∃ image certificate c, check image certificate = true ∧
    Reachable (image.load []) certificate.places c ∧ Wrong (image.load []) certificate.places c

/-- The real one does not. -/
theorem checkCertificate_sound : ¬ Unsound checkCertificate := by
  rintro ⟨image, certificate, c, accepted, reached, wrong⟩
  have ⟨d, r, o⟩ := safety_certificate_sound accepted reached
  exact wrong.elim d fun wrong => wrong.elim r o

/-! ### The start need not be in the set -/

/-- A says what B does not expect. -/
def deaf : CodeImage := pair [.send 1 [branch 1 1], .done] [.recv 0 [branch 0 1], .done]

theorem deaf_reached : Reachable (deaf.load []) 1 (here 1 0 [1]) :=
  reached .start (next := [here 1 0 [1]]) rfl List.mem_cons_self

theorem deaf_wrong : Wrong (deaf.load []) 1 (here 1 0 [1]) :=
  .inr (.inl ⟨1, _, 1, [], rfl, rfl, rfl, by decide⟩)

theorem without_start_unsound : Unsound (checkBy { parts with begins := fun _ _ => true }) :=
  ⟨deaf, rows [], _, by decide, deaf_reached, deaf_wrong⟩

/-! ### Steps may lead out of the set -/

theorem without_closure_unsound : Unsound (checkBy { parts with inside := fun _ _ => true }) :=
  ⟨deaf, rows [[0, 0, noLabel]], _, by decide, deaf_reached, deaf_wrong⟩

/-! ### The first step may not lead out of the set, the others may -/

def firstInside (set : Explored) : List Configuration → Bool
  | [] => true
  | c :: _ => set.has c

/-- A says one of two things, B expects the first. -/
def half : CodeImage := pair [.send 1 [branch 0 1, branch 1 1], .done] [.recv 0 [branch 0 1], .done]

theorem half_reached : Reachable (half.load []) 1 (here 1 0 [1]) :=
  reached .start (next := [here 1 0 [0], here 1 0 [1]]) rfl (List.mem_cons_of_mem _ List.mem_cons_self)

theorem half_wrong : Wrong (half.load []) 1 (here 1 0 [1]) :=
  .inr (.inl ⟨1, _, 1, [], rfl, rfl, rfl, by decide⟩)

theorem without_all_steps_unsound : Unsound (checkBy { parts with inside := firstInside }) :=
  ⟨half, rows [[0, 0, noLabel], [1, 0, 0], [1, 1, noLabel]], _, by decide, half_reached, half_wrong⟩

/-! ### Labels in buffers are not compared -/

/-- Whether a configuration of the same states is in the set. -/
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

/-! ### Messages that cannot be taken are not seen -/

def badButReceptions (i : Loaded) (_ : Nat) (c : Configuration) (next : List Configuration) : Bool :=
  match orphaned i c i.edges c.buffers with
  | true => true
  | false => match next with
    | _ :: _ => false
    | [] => false

theorem without_receptions_unsound : Unsound (checkBy { parts with bad := badButReceptions }) :=
  ⟨deaf, rows [[0, 0, noLabel], [1, 0, 1]], _, by decide, deaf_reached, deaf_wrong⟩

/-! ### Orphans are not seen -/

def badButOrphans (i : Loaded) (bound : Nat) (c : Configuration) (next : List Configuration) : Bool :=
  match misreadsBelow i bound c (len c.states) with
  | true => true
  | false => match next with
    | _ :: _ => false
    | [] => !endedBelow i c (len c.states)

/-- A speaks to B, who is done. -/
def gone : CodeImage := pair [.send 1 [branch 0 1], .done] [.done]

theorem without_orphans_unsound : Unsound (checkBy { parts with bad := badButOrphans }) :=
  ⟨gone, rows [[0, 0, noLabel], [1, 0, 0]], here 1 0 [0], by decide,
    reached .start (next := [here 1 0 [0]]) rfl List.mem_cons_self,
    .inr (.inr ⟨0, (0, 1), 0, [], rfl, rfl, _, rfl, rfl⟩)⟩

/-! ### Deadlocks are not seen -/

def badButDeadlocks (i : Loaded) (bound : Nat) (c : Configuration) (_ : List Configuration) : Bool :=
  match misreadsBelow i bound c (len c.states) with
  | true => true
  | false => orphaned i c i.edges c.buffers

/-- Each waits for the other. -/
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

/-- The real checker refuses each of these. -/
example : (checkCertificate deaf (rows []) || checkCertificate deaf (rows [[0, 0, noLabel]]) ||
    checkCertificate deaf (rows [[0, 0, noLabel], [1, 0, 1]]) ||
    checkCertificate half (rows [[0, 0, noLabel], [1, 0, 0], [1, 1, noLabel]]) ||
    checkCertificate gone (rows [[0, 0, noLabel], [1, 0, 0]]) ||
    checkCertificate shy (rows [[0, 0, noLabel, noLabel]])) = false := by decide

/-! ## The bound -/

/-- A says two things to B and expects `x` from C; C says `y` to A; B and C go on without end and B does not listen to A. -/
def ahead : CodeImage :=
  speaking [
    { name := [65], states := [.send 1 [branch 0 1], .send 1 [branch 0 2], .recv 2 [branch 0 3], .done] },
    { name := [66], states := [.send 2 [branch 0 0]] },
    { name := [67], states := [.send 0 [branch 1 1], .recv 1 [branch 0 1]] }]

/-- Where they are when a buffer has room for one message: A waits for ever. -/
def waits : SafetyCertificate :=
  rows [[0, 0, 0, noLabel, 0, noLabel], [0, 0, 0, noLabel, noLabel, noLabel], [0, 0, 1, noLabel, 0, 1],
    [0, 0, 1, noLabel, noLabel, 1], [1, 0, 0, 0, 0, noLabel], [1, 0, 0, 0, noLabel, noLabel], [1, 0, 1, 0, 0, 1],
    [1, 0, 1, 0, noLabel, 1]]

/-- A certificate says nothing of larger buffers than its own: with room for two messages A comes to hear what it does not
expect. -/
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

/-- The hypotheses of `certified_sessions_safe` hold of a session that has moved: A has asked. -/
example : checkCertificate talk talks = true ∧ config.bufferMax = talks.places ∧
    ∃ s, ran.machine.sessions[0]? = some s ∧ [talk.load [7]][s.image]? = some (talk.load [7]) ∧
      s.configuration = { states := [1, 0], buffers := [[0], []] } :=
  ⟨by decide, rfl, _, rfl, rfl, rfl⟩

/-! ## The bytes -/

/-- The hypothesis of `judged_sound` holds of bytes. -/
example : judge (encImage talk []) talksBytes = .examined .accepted := by decide

example : judge (encImage talk []) (talksBytes ++ [0]) = .noCertificate := by decide

example : judge (encImage deaf []) talksBytes = .examined (.foreign 0) := by decide

end Antiphon.Tests.Safety
