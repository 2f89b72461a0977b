module

public import Runtime.Proofs.Session
public import Runtime.Tests.Step

@[expose] public section

/-!
# Tests of the theorems on sessions

A protocol with a run that exercises every statement of `Proofs/Session.lean`, and kernels whose
send or receive is wrong in one place, and so each break a statement that holds for the real kernel.
-/

namespace Antiphon.Tests.Session

open Antiphon.Tests.Step (Kernel real real_step)

/-! ## A protocol -/

/-- The first role sends two numbers to the second one, which expects the sort `taken` for them. -/
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

/-- A configuration with buffers of this size. -/
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

/-- Two sessions that are opened and stepped by turns, waves and a pick. -/
def actions : List Action :=
  [.input (.open [] []), .input (.open [] [1]), .turn, .turn, .round 2 2, .round 2 1, .pick ⟨1, 1⟩]

noncomputable def ran : Run := runOf (config 2) (loadImages [([], image 0)]) actions

/-- In the first session, two messages were sent over the edge and one was taken, and both roles
have changed state. -/
theorem ran_shows :
    ran.machine.sessions.length = 2 ∧
      (sentOn 0 (logOf 0 ran.events)).map Message.sequence = [0, 1] ∧
      (takenOn 0 (logOf 0 ran.events)).map Message.sequence = [0] ∧
      ran.machine.sessions[0]?.map (fun s => s.endpoints.map Endpoint.state) = some [2, 1] ∧
      ran.machine.sessions[0]?.map (fun s => s.edges.map (fun e => e.queue.length)) = some [1] := by
  decide

/-! ## Faulty kernels -/

/-- `Machine.micro` with a kernel's step. -/
def micro (k : Kernel) (m : Machine) (p : Pick) : Option Micro :=
  match m.find p.session with
  | none => none
  | some found =>
    let stepped := k.step (m.context found.2) found.1 p.coroutine
    some { pick := p, session := stepped.session.counted stepped.events, index := found.1.events,
           events := stepped.events, step := stepped.step, woken := stepped.woken }

/-- `Machine.turnOf` with a kernel's step. -/
def turnOf (k : Kernel) (m : Machine) (p : Pick) : Acted :=
  match micro k m p with
  | none => { machine := m, shown := { result := .notReady, events := [], request := none } }
  | some μ =>
    let r := Run.commit { machine := m, events := [] } μ
    { machine := r.machine
      shown := {
        result := .stepped p μ.step
        events := r.events
        request := r.machine.requestAfter p.session μ.step } }

/-- `Machine.act` with a kernel's step, for turns and picks only. -/
def act (k : Kernel) (m : Machine) : Action → Acted
  | .turn => match m.policyPick with
    | none => { machine := m, shown := { result := .rested m.rest, events := [], request := none } }
    | some p => turnOf k m p
  | .pick p => match some? (fun q => samePick q p) m.queue with
    | true => turnOf k m p
    | false => { machine := m, shown := { result := .notReady, events := [], request := none } }
  | other => m.act other

/-- `Run.actAll` with a kernel's step. -/
def actAll (k : Kernel) (r : Run) : List Action → Run
  | [] => r
  | a :: as =>
    let acted := act k r.machine a
    actAll k { machine := acted.machine, events := app r.events acted.shown.events } as

/-- `runOf` with a kernel's step. -/
def run (k : Kernel) (config : ProtocolMachineConfig) (images : List Loaded) (as : List Action) : Run :=
  actAll k { machine := Machine.new config images, events := [] } as

theorem real_turnOf (m : Machine) (p : Pick) : turnOf real m p = m.turnOf p := by
  have same : micro real m p = m.micro p := by
    unfold micro Machine.micro
    rw [real_step]
    rfl
  unfold turnOf Machine.turnOf
  rw [same]
  rfl

theorem real_act (m : Machine) (a : Action) : act real m a = m.act a := by
  cases a <;> simp only [act, Machine.act, Machine.schedRoundOne, Machine.pickTurn, real_turnOf] <;> rfl

theorem real_actAll (r : Run) (as : List Action) : actAll real r as = r.actAll as := by
  induction as generalizing r with
  | nil => rfl
  | cons a as ih => simp only [actAll, Run.actAll, real_act, ih]

/-- A run with the real kernel's step is `runOf`. -/
theorem real_run (config : ProtocolMachineConfig) (images : List Loaded) (as : List Action) :
    run real config images as = runOf config images as := real_actAll _ as

/-! The four statements, for a kernel. -/

/-- The statement of `buffers_bounded`. -/
def Bounded (k : Kernel) : Prop := ∀ config images as,
  ∀ s ∈ (run k config images as).machine.sessions, ∀ e ∈ s.edges, e.queue.length ≤ config.bufferMax

/-- The statement of `fifo_conservation`. -/
def Conserved (k : Kernel) : Prop := ∀ config images as n (s : Session),
  (run k config images as).machine.sessions[n]? = some s →
    (∀ j e, s.edges[j]? = some e →
      sentOn j (logOf n (run k config images as).events) =
        takenOn j (logOf n (run k config images as).events) ++ e.queue.map (Parcel.message j) ∧
      (sentOn j (logOf n (run k config images as).events)).map Message.sequence =
        List.range e.sent ∧
      (takenOn j (logOf n (run k config images as).events)).map Message.sequence =
        List.range (takenOn j (logOf n (run k config images as).events)).length) ∧
    ∀ j, s.edges[j]? = none →
      sentOn j (logOf n (run k config images as).events) = [] ∧
        takenOn j (logOf n (run k config images as).events) = []

/-- The statement of `session_fidelity`. -/
def Followed (k : Kernel) : Prop := ∀ config images as n (s : Session) (i : Loaded) role (endpoint : Endpoint),
  (run k config (loadImages images) as).machine.sessions[n]? = some s →
    (loadImages images)[s.image]? = some i → s.endpoints[role]? = some endpoint →
      i.follow role 0
          (i.communications role (logOf n (run k config (loadImages images) as).events)) =
        some endpoint.state

/-- The statement of `payload_sorts`. -/
def Sorted (k : Kernel) : Prop := ∀ config images as n (s : Session) (i : Loaded) before e after,
  (run k config (loadImages images) as).machine.sessions[n]? = some s →
    (loadImages images)[s.image]? = some i →
      logOf n (run k config (loadImages images) as).events = before ++ e :: after → i.Proper before e

/-! They hold for the real kernel. -/

theorem real_bounded : Bounded real := by
  intro config images as
  rw [real_run]
  exact buffers_bounded config images as

theorem real_conserved : Conserved real := by
  intro config images as n s hs
  rw [real_run] at hs ⊢
  exact fifo_conservation config images as hs

theorem real_followed : Followed real := by
  intro config images as n s i role endpoint hs hi he
  rw [real_run] at hs ⊢
  exact session_fidelity config images as hs hi he

theorem real_sorted : Sorted real := by
  intro config images as n s i before e after hs hi log
  rw [real_run] at hs log
  exact payload_sorts config images as hs hi log

/-! Each of the following kernels breaks a statement. -/

/-- Sends one message more than the buffer has room for. -/
def overfull : Kernel := { real with room := fun config _ => config.bufferMax + 1 }

/-- Takes the second message of a buffer before the first. -/
def reorders : Kernel :=
  { real with take := fun parcel rest => match rest with
      | [] => (parcel, [])
      | next :: others => (next, parcel :: others) }

/-- Takes a message without removing it from the buffer. -/
def doubles : Kernel := { real with take := fun parcel rest => (parcel, parcel :: rest) }

/-- Sends without advancing the endpoint. -/
def lingers : Kernel := { real with moves := false }

/-- Sends any value without checking it. -/
def sendsAny : Kernel := { real with admits := false }

/-- Takes any payload without checking it. -/
def takesAny : Kernel := { real with checks := false }

/-- A session is opened and these coroutines step. -/
def picks (whos : List Nat) : List Action :=
  .input (.open [] []) :: mapL (fun who => .pick ⟨0, who⟩) whos

theorem overfull_not_bounded : ¬Bounded overfull := by
  intro h
  have all : ((run overfull (config 1) [loaded 0] (picks [0, 0, 0])).machine.sessions.all fun s =>
      s.edges.all fun e => decide (e.queue.length ≤ 1)) = true := by
    simp only [List.all_eq_true, decide_eq_true_eq]
    exact h (config 1) [loaded 0] (picks [0, 0, 0])
  exact absurd all (by decide)

theorem reorders_not_conserved : ¬Conserved reorders := by
  intro h
  have := ((h (config 2) [loaded 0] (picks [0, 0, 0, 1]) 0 _ rfl).1 0 _ rfl).1
  exact absurd (congrArg (List.map Message.sequence) this) (by decide)

theorem doubles_not_conserved : ¬Conserved doubles := by
  intro h
  have := ((h (config 2) [loaded 0] (picks [0, 0, 1, 1]) 0 _ rfl).1 0 _ rfl).1
  exact absurd (congrArg (List.map Message.sequence) this) (by decide)

theorem lingers_not_followed : ¬Followed lingers := by
  intro h
  exact absurd (h (config 2) [([], image 0)] (picks [0, 0]) 0 _ _ 0 _ rfl rfl rfl) (by decide)

theorem takesAny_not_sorted : ¬Sorted takesAny := by
  intro h
  obtain ⟨pair, hp, state, p, t, hs, hpt, _, _, ht, hv⟩ :=
    (h (config 2) [([], image 1)] (picks [0, 0, 1]) 0 _ _ [_, _] _ [] rfl rfl rfl).2 _ rfl
  cases hp
  cases hs
  cases hpt
  cases ht
  exact absurd hv (by decide)

/-- The image with a value of the wrong sort in the sender's register. -/
def wrong : CodeImage :=
  { image 0 with
    programs := [{ name := [], registers := 2, code := [.set 1 (.bool true), .send 0 0 1] },
      { name := [], registers := 2, code := [] }] }

theorem sendsAny_not_sorted : ¬Sorted sendsAny := by
  intro h
  obtain ⟨pair, hp, state, p, t, hs, hpt, _, _, ht, hv⟩ :=
    (h (config 2) [([], wrong)] (picks [0, 0]) 0 _ _ [_] _ [] rfl rfl rfl).1 _ rfl
  cases hp
  cases hs
  cases hpt
  cases ht
  exact absurd hv (by decide)

end Antiphon.Tests.Session
