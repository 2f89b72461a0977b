module

public import Runtime.Proofs.Effects

@[expose] public section

/-!
# Tests of the theorems on effects

A run in which effects are resolved, fail and are invalidated, and kernels that account for effects
wrongly in one place, and so each break a statement of `Proofs/Effects.lean`.
-/

namespace Antiphon.Tests.Effects

/-! ## Kernels -/

/-- The parts of a kernel that account for effects. -/
structure Kernel where
  /-- The outstanding effect with a number. -/
  sought : Session → Nat → Option Effect
  /-- The outstanding effects without the one with a number. -/
  away : Nat → List Effect → List Effect
  /-- The events for effects and witnesses that end with their session. -/
  leftovers : List Effect → List Witness → List Event

/-- The real kernel. -/
noncomputable def real : Kernel where
  sought s number := effectOf number s.effects
  away := withoutEffect
  leftovers := Antiphon.leftovers

/-- `Antiphon.takeOutcome` with a kernel's parts. -/
def Kernel.bringIn (k : Kernel) (cx : Context) (s : Session) (e : Effect) (o : Operation)
    (outcome : Outcome) : Taken :=
  let s := { s with effects := k.away e.number s.effects }
  match outcome with
  | .failure kind detail => disappoint cx s e o kind detail
  | .success value => match admitPayload cx value o.result with
    | .ok _ => succeed cx s e value
    | .error fault => disappoint cx s e o .contractViolation fault.detail

/-- `Antiphon.resume` with a kernel's parts. -/
def Kernel.resume (k : Kernel) (cx : Context) (s : Session) (number : Nat) (outcome : Outcome) :
    Except Refusal Taken :=
  match k.sought s number with
  | none => match Nat.blt number s.effectsIssued with
    | true => .error (.late { session := s.id, number })
    | false => .error (.neverIssued { session := s.id, number })
  | some e => match operationAt cx.image e.operation with
    | .error _ => .error (.late { session := s.id, number })
    | .ok o => .ok (k.bringIn cx s e o outcome)

/-- `Antiphon.finish` with a kernel's parts. -/
def Kernel.finish (k : Kernel) (s : Session) (how : Ending) : Session × List Event :=
  ({ s with phase := .terminal how, epoch := s.epoch + 1, effects := [], witnesses := [] },
    app (k.leftovers s.effects s.witnesses) [.sessionTerminal how, .epochAdvanced (s.epoch + 1)])

/-- `Antiphon.cancel` with a kernel's parts. -/
def Kernel.cancel (k : Kernel) (s : Session) : Session × List Event :=
  let ended := k.finish { s with witnessesIssued := s.witnessesIssued + 1 } .cancelled
  (ended.1, .cancellationRequested s.witnessesIssued :: .cancelled s.witnessesIssued :: ended.2)

/-- `Machine.takeOutcome` with a kernel's parts. -/
def Kernel.takeOutcome (k : Kernel) (m : Machine) (effect : EffectId) (outcome : Outcome) :
    Except Refusal Accepted :=
  match m.find effect.session with
  | none => .error (.noSuchSession effect.session)
  | some found => match k.resume (m.context found.2) found.1 effect.number outcome with
    | .error refusal => .error refusal
    | .ok taken => .ok {
        machine := { m.put effect.session taken.session taken.events with
          queue := settleResumed m.queue effect.session taken.resumed }
        events := stampFrom effect.session m.stepIndex m.clock found.1.events taken.events
        answer := .resumed effect.session taken.resumed }

/-- `Machine.cancel` with a kernel's parts. -/
def Kernel.callOff (k : Kernel) (m : Machine) (session : Nat) (owner : Bytes) :
    Except Refusal Accepted :=
  match getAt m.sessions session with
  | none => .error (.noSuchSession session)
  | some s => match sameBytes s.owner owner with
    | false => .error (.notOwner session)
    | true => match s.phase with
      | .terminal _ => .error (.sessionEnded session)
      | .active =>
        let ended := k.cancel s
        .ok {
          machine := { m.put session ended.1 ended.2 with queue := dropSession session m.queue }
          events := stampFrom session m.stepIndex m.clock s.events ended.2
          answer := .cancelled }

/-- `Machine.ingress` with a kernel's parts. -/
def Kernel.ingress (k : Kernel) (m : Machine) : Ingress → Except Refusal Accepted
  | .outcome effect outcome => k.takeOutcome m effect outcome
  | .cancel session owner => k.callOff m session owner
  | other => m.ingress other

/-- `Machine.input` with a kernel's parts. -/
def Kernel.input (k : Kernel) (m : Machine) (ingress : Ingress) : Acted :=
  match k.ingress m ingress with
  | .error refusal =>
    { machine := m, shown := { result := .refused refusal, events := [], request := none } }
  | .ok accepted => {
      machine := accepted.machine
      shown := {
        result := .taken accepted.answer
        events := accepted.events
        request := match accepted.answer with
          | .resumed session (.reissued number) => accepted.machine.request { session, number }
          | _ => none } }

/-- `Machine.act` with a kernel's parts. -/
def Kernel.act (k : Kernel) (m : Machine) : Action → Acted
  | .input ingress => k.input m ingress
  | other => m.act other

/-- `Run.actAll` with a kernel's parts. -/
def Kernel.actAll (k : Kernel) (r : Run) : List Action → Run
  | [] => r
  | a :: as =>
    let acted := k.act r.machine a
    k.actAll { machine := acted.machine, events := app r.events acted.shown.events } as

/-- `runOf` with a kernel's parts. -/
def Kernel.run (k : Kernel) (config : ProtocolMachineConfig) (images : List Loaded)
    (as : List Action) : Run :=
  k.actAll { machine := Machine.new config images, events := [] } as

theorem real_input (m : Machine) (ingress : Ingress) : real.input m ingress = m.input ingress := by
  have same : real.ingress m ingress = m.ingress ingress := by cases ingress <;> rfl
  unfold Kernel.input Machine.input
  rw [same]
  rfl

theorem real_act (m : Machine) (a : Action) : real.act m a = m.act a := by
  cases a <;> first | exact real_input .. | rfl

theorem real_actAll (r : Run) (as : List Action) : real.actAll r as = r.actAll as := by
  induction as generalizing r with
  | nil => rfl
  | cons a as ih => simp only [Kernel.actAll, Run.actAll, real_act, ih]

/-- A run with the real kernel's parts is `runOf`. -/
theorem real_run (config : ProtocolMachineConfig) (images : List Loaded) (as : List Action) :
    real.run config images as = runOf config images as := real_actAll _ as

/-! ## The statements, for a kernel -/

/-- The statement of `effect_one_outcome`. -/
def OneOutcome (k : Kernel) : Prop := ∀ config images as session number,
  endedIn number (logOf session (k.run config images as).events) ≤ 1

/-- The statement of `issued_effect_ends`. -/
def Ends (k : Kernel) : Prop := ∀ config images as session s how,
  (k.run config images as).machine.sessions[session]? = some s → s.phase = .terminal how →
    ∀ number coroutine operation attempt deadline,
      .effectIssued number coroutine operation attempt deadline ∈
          logOf session (k.run config images as).events →
        endedIn number (logOf session (k.run config images as).events) = 1

/-- The statement of `late_outcome_changes_nothing`. -/
def Late (k : Kernel) : Prop := ∀ config images as effect outcome,
  0 < endedIn effect.number (logOf effect.session (k.run config images as).events) →
    ∃ s, (k.run config images as).machine.sessions[effect.session]? = some s ∧
      k.input (k.run config images as).machine (.outcome effect outcome) =
        { machine := (k.run config images as).machine
          shown := {
            result := .refused (.late { session := s.id, number := effect.number })
            events := []
            request := none } }

theorem real_oneOutcome : OneOutcome real := by
  intro config images as
  rw [real_run]
  exact effect_one_outcome config images as

theorem real_ends : Ends real := by
  intro config images as session s how
  rw [real_run]
  exact fun hs ended number coroutine operation attempt deadline issued =>
    issued_effect_ends config images as hs ended issued

theorem real_late : Late real := by
  intro config images as effect outcome
  rw [real_run, real_input]
  exact late_outcome_changes_nothing config images as effect outcome

/-! ## A protocol -/

/-- An image with one role that issues two effects. -/
def image : CodeImage where
  name := []
  version := 0
  roles := [{ name := [], states := [.done] }]
  labels := []
  sorts := [.unit]
  interfaces := [{ name := [], version := 0 }]
  operations := [{ interface := 0, name := [], cls := .command, args := [], result := 0,
                   budget := none, retries := 1 }]
  programs := [{ name := [], registers := 2,
                 code := [.invoke 0 [] 1 none, .invoke 0 [] 1 none, .halt] }]

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

/-- A successful outcome for an effect of the first session. -/
def answer (number : Nat) : Action := .input (.outcome ⟨0, number⟩ (.success .unit))

/-- The failure `unavailable` for an effect of the first session. -/
def later (number : Nat) : Action := .input (.outcome ⟨0, number⟩ (.failure .unavailable []))

/-! ## The hypotheses can hold -/

/-- The first session issues an effect, which fails as unavailable and is issued again; after it has
been answered, the session issues a second one. Another session issues an effect. Then both are
cancelled. -/
def actions : List Action :=
  [.input (.open [] []), .turn, later 0, answer 1, .turn, .input (.open [] []), .round 2 2,
    .input (.cancel 0 []), .input (.cancel 1 [])]

noncomputable def ran : Run := runOf config [image.load []] actions

/-- Four effects were issued and each has ended once: two while their session was active, two with
their session. -/
theorem ran_shows :
    ran.machine.sessions.map (fun s => (s.phase, s.effectsIssued)) =
        [(.terminal .cancelled, 3), (.terminal .cancelled, 1)] ∧
      [0, 1, 2].map (fun n => (issuedIn n (logOf 0 ran.events), endedIn n (logOf 0 ran.events))) =
        [(1, 1), (1, 1), (1, 1)] ∧
      issuedIn 0 (logOf 1 ran.events) = 1 ∧ endedIn 0 (logOf 1 ran.events) = 1 := by
  decide

/-! ## Faulty kernels -/

/-- An effect stays outstanding after its outcome. -/
noncomputable def keeps : Kernel := { real with away := fun _ effects => effects }

theorem keeps_not_oneOutcome : ¬OneOutcome keeps := by
  intro h
  exact absurd (h config [image.load []] [.input (.open [] []), .turn, answer 0, answer 0] 0 0)
    (by decide)

/-- An outcome is accepted whenever its effect has been issued. -/
noncomputable def believes : Kernel :=
  { real with sought := fun s number => match effectOf number s.effects with
      | some e => some e
      | none => match Nat.blt number s.effectsIssued with
        | true => some { number, deadline := none, operation := 0, coroutine := 0, attempt := 0 }
        | false => none }

theorem believes_not_late : ¬Late believes := by
  intro h
  obtain ⟨s, _, hs⟩ := h config [image.load []] [.input (.open [] []), .turn, answer 0] ⟨0, 0⟩
    (.success .unit) (by decide)
  exact absurd (congrArg (fun acted => acted.shown.events.length) hs : _ = 0) (by decide)

theorem believes_not_oneOutcome : ¬OneOutcome believes := by
  intro h
  exact absurd (h config [image.load []] [.input (.open [] []), .turn, answer 0, answer 0] 0 0)
    (by decide)

/-- A session that ends does not invalidate its effects. -/
noncomputable def forgets : Kernel := { real with leftovers := fun _ witnesses => Antiphon.leftovers [] witnesses }

theorem forgets_not_ends : ¬Ends forgets := by
  intro h
  have := h config [image.load []] [.input (.open [] []), .turn, .input (.cancel 0 [])] 0 _ .cancelled
    rfl rfl 0 0 0 0 none (List.mem_of_getElem? (i := 1) rfl)
  exact absurd this (by decide)

/-!
## Texts

Lean's kernel can evaluate the text of a refused result, which `antiphon certify --kernel` needs.
-/

/-- "a value of sort 1 was expected, got one of form nat" -/
example : (Fault.wrongSort 1 .nat).detail = [
    97, 32, 118, 97, 108, 117, 101, 32, 111, 102, 32, 115, 111, 114, 116, 32, 49, 32, 119, 97, 115, 32, 101,
    120, 112, 101, 99, 116, 101, 100, 44, 32, 103, 111, 116, 32, 111, 110, 101, 32, 111, 102, 32, 102, 111,
    114, 109, 32, 110, 97, 116
  ] := by
  decide +kernel

/-- "a payload of 6 bytes is over the limit of 4" -/
example : (Fault.payloadTooLarge 6 4).detail = [
    97, 32, 112, 97, 121, 108, 111, 97, 100, 32, 111, 102, 32, 54, 32, 98, 121, 116, 101, 115, 32, 105, 115,
    32, 111, 118, 101, 114, 32, 116, 104, 101, 32, 108, 105, 109, 105, 116, 32, 111, 102, 32, 52
  ] := by
  decide +kernel

end Antiphon.Tests.Effects
