module

public import Runtime.Proofs.Session
public import Runtime.Tests.Step

@[expose] public section

/-!
# Sessions: that the theorems say something

A protocol whose run has everything that `Proofs/Session.lean` speaks of, and kernels whose send or receive is wrong in
one place: each falsifies one of the statements, which hold of the kernel as it is.
-/

namespace Antiphon.Tests.Session

open Antiphon.Tests.Step (Kernel real real_step)

/-! ## A protocol -/

/-- The first role sends two numbers to the second, which takes the sort `taken` for them. -/
def image (taken : Nat) : CodeImage where
  name := []
  version := 0
  roles := [
    { name := [], states := [.send 1 [⟨0, 0, 1⟩], .send 1 [⟨0, 0, 2⟩], .done] },
    { name := [], states := [.recv 0 [⟨0, taken, 1⟩], .recv 0 [⟨0, taken, 2⟩], .done] }]
  labels := [[]]
  sorts := [.nat, .bool]
  interfaces := []
  operations := []
  programs := [
    { name := [], registers := 2,
      code := [.set 1 (.nat 7), .send 0 0 1, .send 0 0 1, .halt] },
    { name := [], registers := 2, code := [.receive 0 0 1, .receive 0 0 1, .halt] }]

def loaded (taken : Nat) : Loaded := (image taken).load []

/-- A configuration with buffers of a length. -/
def config (bufferMax : Nat) : ProtocolMachineConfig where
  policy := .roundRobin
  priorities := []
  bufferMax := bufferMax
  payloadMax := 64
  coroutinesMax := 4
  sessionsMax := 4
  witnessesMax := 4
  witnessTtl := 10
  effectBudget := none
  determinismMode := .full

/-! ## The hypotheses can hold -/

/-- Two sessions, opened, stepped by turns and by waves. -/
def actions : List Action :=
  [.input (.open [] []), .input (.open [] [1]), .turn, .turn, .round 2 2, .round 2 1, .pick ⟨1, 1⟩]

noncomputable def ran : Run := runOf (config 2) (loadImages [([], image 0)]) actions

/-- There is a session over whose edge two messages were sent and one was taken, and whose roles have moved. -/
theorem ran_shows :
    ran.machine.sessions.length = 2 ∧
      (sentOn 0 (logOf 0 ran.events)).map Message.sequence = [0, 1] ∧
      (takenOn 0 (logOf 0 ran.events)).map Message.sequence = [0] ∧
      ran.machine.sessions[0]?.map (fun s => s.endpoints.map Endpoint.state) = some [2, 1] ∧
      ran.machine.sessions[0]?.map (fun s => s.edges.map (fun e => e.queue.length)) = some [1] := by
  decide

/-! ## Kernels that are wrong -/

/-- A session and what it has told, after these coroutines have stepped. -/
def go (k : Kernel) (i : Loaded) (config : ProtocolMachineConfig) :
    Session × List Event → List Nat → Session × List Event
  | sl, [] => sl
  | sl, who :: whos =>
    let stepped := k.step ⟨i, config, 0⟩ sl.1 who
    go k i config (stepped.session.counted stepped.events, app sl.2 stepped.events) whos

/-- The same from the start of a session. -/
def live (k : Kernel) (i : Loaded) (config : ProtocolMachineConfig) (whos : List Nat) :
    Session × List Event :=
  go k i config
    ((Session.start i config 0 0 []).counted [.opened i.digest []], [.opened i.digest []]) whos

/-! The four statements, of a kernel. -/

def Bounded (k : Kernel) : Prop := ∀ i config whos, ∀ e ∈ (live k i config whos).1.edges,
  e.queue.length ≤ config.bufferMax

def Conserved (k : Kernel) : Prop := ∀ i config whos n e,
  (live k i config whos).1.edges[n]? = some e →
    sentOn n (live k i config whos).2 =
        takenOn n (live k i config whos).2 ++ e.queue.map (Parcel.message n) ∧
      (sentOn n (live k i config whos).2).map Message.sequence = List.range e.sent

def Followed (k : Kernel) : Prop := ∀ (image : CodeImage) digest config whos role endpoint,
  (live k (image.load digest) config whos).1.endpoints[role]? = some endpoint →
    (image.load digest).follow role 0
        ((image.load digest).communications role (live k (image.load digest) config whos).2) =
      some endpoint.state

def Sorted (k : Kernel) : Prop := ∀ (image : CodeImage) digest config whos before e after,
  (live k (image.load digest) config whos).2 = before ++ e :: after →
    (image.load digest).Proper before e

/-! They hold of the kernel as it is. -/

theorem real_lives (i : Loaded) (config : ProtocolMachineConfig) (whos : List Nat) :
    Lives i config (live real i config whos).1 (live real i config whos).2 := by
  have all : ∀ (sl : Session × List Event), Lives i config sl.1 sl.2 →
      Lives i config (go real i config sl whos).1 (go real i config sl whos).2 := by
    induction whos with
    | nil => exact fun _ h => h
    | cons who whos ih =>
      intro sl h
      refine ih _ ?_
      simp only [real_step, app_eq]
      exact h.step 0 who
  exact all _ (.opened 0 0 [])

theorem real_bounded : Bounded real := fun i config whos => (real_lives i config whos).bounded

theorem real_conserved : Conserved real := by
  intro i config whos n e he
  have := (real_lives i config whos).conserved n
  simpa only [he, Option.getD_some] using this

theorem real_followed : Followed real := fun image digest config whos =>
  (real_lives (image.load digest) config whos).followed (load_numbers image digest)

theorem real_sorted : Sorted real := fun image digest config whos =>
  (real_lives (image.load digest) config whos).proper (load_numbers image digest)

/-! They do not hold of these. -/

/-- Sends one message more than there is room for. -/
def overfull : Kernel := { real with room := fun config _ => config.bufferMax + 1 }

/-- Takes the second message first. -/
def reorders : Kernel :=
  { real with take := fun parcel rest => match rest with
      | [] => (parcel, [])
      | next :: others => (next, parcel :: others) }

/-- Takes a message and leaves it where it is. -/
def doubles : Kernel := { real with take := fun parcel rest => (parcel, parcel :: rest) }

/-- Sends without moving on. -/
def lingers : Kernel := { real with moves := false }

/-- Sends whatever is in the register. -/
def sendsAny : Kernel := { real with admits := false }

/-- Takes whatever comes. -/
def takesAny : Kernel := { real with checks := false }

theorem overfull_not_bounded : ¬Bounded overfull := by
  intro h
  have := List.all_eq_true.mpr (fun e he =>
    decide_eq_true (h (loaded 0) (config 1) [0, 0, 0] e he))
  exact absurd this (by decide)

theorem reorders_not_conserved : ¬Conserved reorders := by
  intro h
  have := (h (loaded 0) (config 2) [0, 0, 0, 1] 0 _ rfl).1
  exact absurd (congrArg (List.map Message.sequence) this) (by decide)

theorem doubles_not_conserved : ¬Conserved doubles := by
  intro h
  have := (h (loaded 0) (config 2) [0, 0, 1, 1] 0 _ rfl).1
  exact absurd (congrArg (List.map Message.sequence) this) (by decide)

theorem lingers_not_followed : ¬Followed lingers := by
  intro h
  exact absurd (h (image 0) [] (config 2) [0, 0] 0 _ rfl) (by decide)

theorem takesAny_not_sorted : ¬Sorted takesAny := by
  intro h
  obtain ⟨pair, hp, state, p, t, hs, hpt, _, _, ht, hv⟩ :=
    (h (image 1) [] (config 2) [0, 0, 1] [_, _] _ [] rfl).2 _ rfl
  cases hp
  cases hs
  cases hpt
  cases ht
  exact absurd hv (by decide)

/-- The same program with another value in its register. -/
def wrong : CodeImage :=
  { image 0 with
    programs := [{ name := [], registers := 2, code := [.set 1 (.bool true), .send 0 0 1] },
      { name := [], registers := 2, code := [] }] }

theorem sendsAny_not_sorted : ¬Sorted sendsAny := by
  intro h
  obtain ⟨pair, hp, state, p, t, hs, hpt, _, _, ht, hv⟩ :=
    (h wrong [] (config 2) [0, 0] [_] _ [] rfl).1 _ rfl
  cases hp
  cases hs
  cases hpt
  cases ht
  exact absurd hv (by decide)

end Antiphon.Tests.Session
