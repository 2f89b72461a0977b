module

public import Runtime.Proofs.Schedule.Inputs

@[expose] public noncomputable section

/-!
# What a schedule does, one deed at a time

A driver's actions, including waves, consist of three kinds of deeds: a turn of a session, a step of
a coroutine that the driver names, and an input. What the machine shows after an action determines
the action's deeds.
-/

namespace Antiphon

/-- One thing that is done to a machine. -/
inductive Deed where
  /-- A turn of a session: one step of the coroutine that the policy picks among its ready
  coroutines. -/
  | turn (session : Nat)
  /-- A step of this coroutine, if it is in the ready queue. -/
  | pick (pick : Pick)
  | input (ingress : Ingress)

/-- Whether the driver decides what is done, not the machine's policy. -/
def Deed.asked : Deed → Bool
  | .turn _ => false
  | .pick _ => true
  | .input _ => true

/-- Performs a deed. -/
def Machine.perform (m : Machine) : Deed → Acted
  | .turn session => m.turnIn session
  | .pick p => m.pickTurn p
  | .input ingress => m.input ingress

/-- Whether a deed concerns a session. Its own turns, picks and inputs do; an advance of the clock
does; an opening does as long as this session has not been opened. -/
def Machine.concerns (m : Machine) (j : Nat) : Deed → Bool
  | .turn session => session == j
  | .pick p => p.session == j
  | .input (.open _ _) => Nat.ble m.sessions.length j
  | .input (.outcome effect _) => effect.session == j
  | .input (.advanceClock _) => true
  | .input (.cancel session _) => session == j

theorem turn_of_concerns {m : Machine} {j : Nat} {d : Deed} (h : m.concerns j d = true)
    (own : d.asked = false) : d = .turn j := by
  cases d <;> simp_all [Machine.concerns, Deed.asked]

/-! ## Runs -/

/-- A run after a deed, with any function that performs deeds. -/
def Run.deed (perform : Machine → Deed → Acted) (r : Run) (d : Deed) : Run :=
  { machine := (perform r.machine d).machine
    events := app r.events (perform r.machine d).shown.events }

/-- A run after a list of deeds. -/
def Run.deeds (perform : Machine → Deed → Acted) (r : Run) : List Deed → Run
  | [] => r
  | d :: ds => Run.deeds perform (r.deed perform d) ds

/-- The deeds that concern a session; whether a deed concerns it is decided when the deed is
performed. -/
def Run.heard (perform : Machine → Deed → Acted) (j : Nat) (r : Run) : List Deed → List Deed
  | [] => []
  | d :: ds =>
    if r.machine.concerns j d then d :: Run.heard perform j (r.deed perform d) ds
    else Run.heard perform j (r.deed perform d) ds

/-- A session has no ready coroutine before each pick and input that concerns it, and none at the
end. -/
def Run.restsIn (perform : Machine → Deed → Acted) (j : Nat) (r : Run) : List Deed → Prop
  | [] => partOf j r.machine.queue = []
  | d :: ds =>
    (r.machine.concerns j d = true → d.asked = true → partOf j r.machine.queue = []) ∧
      Run.restsIn perform j (r.deed perform d) ds

/-- What a session sees of a run's machine, and its trace. -/
abbrev Run.sight (j : Nat) (r : Run) : View × List Told := Antiphon.sight j r.machine r.events

theorem deeds_append (perform : Machine → Deed → Acted) (r : Run) (ds es : List Deed) :
    r.deeds perform (ds ++ es) = (r.deeds perform ds).deeds perform es := by
  induction ds generalizing r with
  | nil => rfl
  | cons d ds ih => exact ih _

/-- Events that were logged before the deeds stay in front and change nothing else. -/
theorem deeds_log (perform : Machine → Deed → Acted) (m : Machine) (log more : List ObsEvent)
    (ds : List Deed) :
    Run.deeds perform { machine := m, events := log ++ more } ds =
      { machine := (Run.deeds perform { machine := m, events := more } ds).machine
        events := log ++ (Run.deeds perform { machine := m, events := more } ds).events } := by
  induction ds generalizing m more with
  | nil => rfl
  | cons d ds ih =>
    simp only [Run.deeds, Run.deed, app_eq, List.append_assoc]
    exact ih _ _

/-! ## Actions -/

/-- The turns that the result of a round or a turn shows. -/
def Result.turns : Result → List Deed
  | .stepped p _ => [.turn p.session]
  | .round picks _ => picks.map fun p => .turn p.session
  | _ => []

/-- The deeds of an action, given the result that it shows. -/
def Action.deeds (a : Action) (result : Result) : List Deed :=
  match a with
  | .input ingress => [.input ingress]
  | .pick p => [.pick p]
  | _ => result.turns

/-- The deeds of a list of actions. -/
def Run.dealt (r : Run) : List Action → List Deed
  | [] => []
  | a :: as =>
    a.deeds (r.machine.act a).shown.result ++
      Run.dealt
        { machine := (r.machine.act a).machine
          events := app r.events (r.machine.act a).shown.events } as

/-- If each coroutine of a list is the one that the policy picks in its session at its turn, turns
of these coroutines are turns of their sessions. -/
theorem turns_are_deeds {r : Run} {ps : List Pick} (h : r.allWanted ps) :
    r.turns ps = r.deeds Machine.perform (ps.map fun p => .turn p.session) := by
  induction ps generalizing r with
  | nil => rfl
  | cons p ps ih =>
    have wanted := h.1
    have same : r.machine.perform (.turn p.session) = r.machine.pickTurn p := by
      have queued : some? (fun q => samePick q p) r.machine.queue = true := by
        simp only [some?_eq, List.any_eq_true]
        exact ⟨p, (bestOf_mem wanted).1, samePick_self p⟩
      simp only [Machine.perform, Machine.turnIn, wanted, Machine.pickTurn, queued]
    simp only [Run.turns, List.map_cons, Run.deeds, Run.deed, same]
    exact ih h.2

/-- A canonical turn has the machine and the events of the deeds that it shows: one turn, or
none. -/
theorem sched_round_one_is_deeds (m : Machine) :
    ({ machine := m.schedRoundOne.machine, events := m.schedRoundOne.shown.events } : Run) =
      Run.deeds Machine.perform { machine := m, events := [] } m.schedRoundOne.shown.result.turns := by
  cases hp : m.policyPick with
  | none => simp [Machine.schedRoundOne, hp, Result.turns, Run.deeds]
  | some p =>
    have turn := sched_round_one_is_turn m p hp
    have one : m.schedRoundOne = m.turnOf p := by simp only [Machine.schedRoundOne, hp]
    cases hμ : m.micro p with
    | none => simp [one, Machine.turnOf, hμ, Result.turns, Run.deeds]
    | some μ =>
      have result : m.schedRoundOne.shown.result.turns = [.turn p.session] := by
        rw [one]; simp only [Machine.turnOf, hμ, Result.turns]
      rw [result]
      simp only [Run.deeds, Run.deed, Machine.perform, ← turn, app]

/-- A round with a rejected certificate shows the turns of a canonical turn. -/
theorem fallback_turns {m : Machine} {c : WaveCertificate} (check : m.checkWave c = false) :
    (m.roundWith c).shown.result.turns = m.schedRoundOne.shown.result.turns := by
  simp only [Machine.roundWith, check]
  cases h : m.schedRoundOne.shown.result <;> simp [h, Result.turns]

/-- A round with a given certificate has the machine and the events of the turns that it shows. -/
theorem round_with_is_deeds (m : Machine) (c : WaveCertificate) :
    ({ machine := (m.roundWith c).machine, events := (m.roundWith c).shown.events } : Run) =
      Run.deeds Machine.perform { machine := m, events := [] } (m.roundWith c).shown.result.turns := by
  cases check : m.checkWave c with
  | true =>
    obtain ⟨turns, wanted⟩ := wave_is_its_turns m c check
    have e : m.roundWith c = m.wave c := by simp only [Machine.roundWith, check]
    rw [e]
    simp only [Machine.wave, Result.turns]
    rw [← turns_are_deeds wanted, ← turns]
  | false =>
    have one := invalid_wave_is_one_step m c check
    rw [one.1, one.2, fallback_turns check]
    exact sched_round_one_is_deeds m

/-- Every action, including a wave of any width and quantum, leaves the machine and shows the events
of the deeds that it shows, performed one after another. -/
theorem act_is_deeds (m : Machine) (a : Action) :
    ({ machine := (m.act a).machine, events := (m.act a).shown.events } : Run) =
      Run.deeds Machine.perform { machine := m, events := [] } (a.deeds (m.act a).shown.result) := by
  cases a with
  | input ingress => simp [Machine.act, Action.deeds, Run.deeds, Run.deed, Machine.perform]
  | pick p => simp [Machine.act, Action.deeds, Run.deeds, Run.deed, Machine.perform]
  | turn => exact sched_round_one_is_deeds m
  | wave c => exact round_with_is_deeds m c
  | round width quantum =>
    simp only [Machine.act, Action.deeds]
    unfold Machine.schedRoundThreaded
    split
    · rfl
    · split
      · exact sched_round_one_is_deeds m
      · exact round_with_is_deeds m _

/-! ## What a session sees of a deed -/

/-- A deed that does not concern a session changes nothing that the session sees and adds nothing to
its trace. -/
theorem perform_frame {m : Machine} {j : Nat} {d : Deed} (h : m.concerns j d = false) :
    sessionView (m.perform d).machine j = sessionView m j ∧
      toldOf j (m.perform d).shown.events = [] := by
  cases d with
  | turn i => exact (turn_of_view i j).1 (by simpa [Machine.concerns] using h) m
  | pick p => exact pickTurn_other (by simpa [Machine.concerns] using h)
  | input ingress =>
    cases ingress with
    | «open» digest owner =>
      refine open_other ?_
      have : ¬ m.sessions.length ≤ j := by
        intro le
        rw [← Nat.ble_eq] at le
        simp [Machine.concerns, le] at h
      omega
    | outcome effect outcome => exact outcome_other (by simpa [Machine.concerns] using h)
    | advanceClock ticks => simp [Machine.concerns] at h
    | cancel i owner => exact cancel_other (by simpa [Machine.concerns] using h)

/-- How a deed changes what a session sees, and what it adds to the session's trace, depends only on
what the session sees. -/
theorem perform_reads {m m' : Machine} {j : Nat} (d : Deed)
    (same : sessionView m j = sessionView m' j) :
    sessionView (m.perform d).machine j = sessionView (m'.perform d).machine j ∧
      toldOf j (m.perform d).shown.events = toldOf j (m'.perform d).shown.events := by
  have apart : m.concerns j d = false → m'.concerns j d = false →
      sessionView (m.perform d).machine j = sessionView (m'.perform d).machine j ∧
        toldOf j (m.perform d).shown.events = toldOf j (m'.perform d).shown.events := by
    intro h h'
    obtain ⟨h1, h2⟩ := perform_frame h
    obtain ⟨h3, h4⟩ := perform_frame h'
    exact ⟨h1.trans (same.trans h3.symm), h2.trans h4.symm⟩
  cases d with
  | turn i =>
    by_cases h : i = j
    · exact (turn_of_view i j).2 h m m' same
    · exact apart (by simp [Machine.concerns, h]) (by simp [Machine.concerns, h])
  | pick p =>
    by_cases h : p.session = j
    · subst h; exact pickTurn_self same
    · exact apart (by simp [Machine.concerns, h]) (by simp [Machine.concerns, h])
  | input ingress =>
    cases ingress with
    | «open» digest owner =>
      by_cases h : j < m.sessions.length
      · have h' := (opened_of_view same).1 h
        obtain ⟨h1, h2⟩ := open_other (digest := digest) (owner := owner) h
        obtain ⟨h3, h4⟩ := open_other (digest := digest) (owner := owner) h'
        exact ⟨h1.trans (same.trans h3.symm), h2.trans h4.symm⟩
      · exact open_self h same
    | outcome effect outcome =>
      by_cases h : effect.session = j
      · subst h; exact outcome_self same
      · exact apart (by simp [Machine.concerns, h]) (by simp [Machine.concerns, h])
    | advanceClock ticks => exact advance_self same
    | cancel i owner =>
      by_cases h : i = j
      · subst h; exact cancel_self same
      · exact apart (by simp [Machine.concerns, h]) (by simp [Machine.concerns, h])

/-- A turn of a session without a ready coroutine changes nothing, has no events and reports
`notReady`. -/
theorem perform_rest {m : Machine} {j : Nat} (h : partOf j m.queue = []) :
    m.perform (.turn j) =
      { machine := m, shown := { result := .notReady, events := [], request := none } } := by
  have : m.bestOf j = none := by
    simp only [Machine.bestOf, keep_eq]
    rw [show (m.queue.filter fun p => Nat.beq p.session j) = [] from h]
    rfl
  simp only [Machine.perform, Machine.turnIn, this]

end Antiphon
