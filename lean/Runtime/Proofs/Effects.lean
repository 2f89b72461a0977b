module

public import Runtime.Proofs.Effects.Balance
public import Runtime.Proofs.Session.Runs

@[expose] public section

/-!
# Effects: each has one outcome

The log of every session is consistent with its effects. Each number below its count was issued
once, and each effect that was issued is outstanding or has ended. This holds for every run of any
list of actions, including waves.
-/

namespace Antiphon

/-- A session is consistent with its events: the numbers issued are those below its count, each
once; each effect that was issued is outstanding or has ended; and a session that has ended has no
outstanding effect. -/
structure Booked (s : Session) (events : List Event) : Prop where
  issued : ∀ n, issuedIn n events = if n < s.effectsIssued then 1 else 0
  balance : ∀ n, issuedIn n events = outstanding n s.effects + endedIn n events
  quiet : Quiet s

theorem Booked.next {s s' : Session} {before events : List Event} (h : Booked s before)
    (b : Balanced s s' events) : Booked (s'.counted events) (before ++ events) := by
  refine ⟨fun n => ?_, fun n => ?_, b.quiet⟩
  · have := b.grows
    show _ = if n < s'.effectsIssued then 1 else 0
    rw [issuedIn_append, h.issued, b.issued]
    split <;> split <;> split <;> omega
  · have h1 := h.balance n
    have h2 := b.balance n
    show _ = outstanding n s'.effects + _
    rw [issuedIn_append, endedIn_append]
    omega

/-- A session is consistent with the events of its life. -/
theorem Lives.entry {i : Loaded} {config : ProtocolMachineConfig} {s : Session} {log : List Event}
    (h : Lives i config s log) : Booked s log := by
  induction h with
  | opened id row owner =>
    refine ⟨fun n => ?_, fun n => ?_, fun how h => by simp [Session.counted, Session.start] at h⟩ <;>
      simp [Session.counted, Session.start, Event.issues, Event.ends]
  | step _ _ who ih => exact ih.next (step_balanced _ who ih.quiet)
  | outcome _ _ _ _ ok ih => exact ih.next (resume_balanced ih.quiet ok)
  | expired _ _ _ ok ih => exact ih.next (expire_balanced ih.quiet ok)
  | witness _ number ih => exact ih.next (expireWitness_balanced number ih.quiet)
  | cancelled _ _ ih => exact ih.next (cancel_balanced _)

/-- If a session is consistent with its events, an effect that has ended did so once, is not
outstanding, and was issued. -/
theorem Booked.once {s : Session} {events : List Event} (h : Booked s events) {n : Nat}
    (ended : 0 < endedIn n events) :
    endedIn n events = 1 ∧ outstanding n s.effects = 0 ∧ n < s.effectsIssued := by
  have h1 := h.issued n
  have h2 := h.balance n
  split at h1 <;> omega

/-- In every run, each effect ends (by being resolved, failed or invalidated) at most once. -/
theorem effect_one_outcome (config : ProtocolMachineConfig) (images : List Loaded) (as : List Action)
    (session number : Nat) : endedIn number (logOf session (runOf config images as).events) ≤ 1 := by
  have good := good_run config images as
  cases hs : (runOf config images as).machine.sessions[session]? with
  | none => rw [good.fresh _ (List.getElem?_eq_none_iff.mp hs)]; simp
  | some s =>
    obtain ⟨_, _, life⟩ := good.lives session s hs
    rcases Nat.eq_zero_or_pos (endedIn number (logOf session (runOf config images as).events)) with h | h
    · omega
    · exact Nat.le_of_eq (life.entry.once h).1

/-- In every run, each effect that was issued by a session that has ended has ended exactly once. -/
theorem issued_effect_ends (config : ProtocolMachineConfig) (images : List Loaded) (as : List Action)
    {session : Nat} {s : Session} {how : Ending}
    (hs : (runOf config images as).machine.sessions[session]? = some s) (ended : s.phase = .terminal how)
    {number coroutine operation attempt : Nat} {deadline : Option Nat}
    (issued : .effectIssued number coroutine operation attempt deadline ∈
      logOf session (runOf config images as).events) :
    endedIn number (logOf session (runOf config images as).events) = 1 := by
  obtain ⟨_, _, life⟩ := lives_of_run hs
  have h1 := life.entry.issued number
  have h2 := life.entry.balance number
  have h3 : 0 < issuedIn number (logOf session (runOf config images as).events) :=
    List.countP_pos_iff.mpr ⟨_, issued, by simp [Event.issues]⟩
  rw [life.entry.quiet how ended, outstanding_nil] at h2
  split at h1 <;> omega

theorem effectOf_none {number : Nat} {effects : List Effect} (h : outstanding number effects = 0) :
    effectOf number effects = none := by
  induction effects with
  | nil => rfl
  | cons e es ih =>
    rw [outstanding_cons] at h
    cases he : Nat.beq e.number number with
    | true =>
      have : e.number = number := by simpa using he
      simp [this] at h
    | false =>
      simp only [effectOf, he]
      exact ih (by omega)

/-- In every run, an outcome for an effect that has ended is refused as late: the machine stays
unchanged, and only the refusal is shown. -/
theorem late_outcome_changes_nothing (config : ProtocolMachineConfig) (images : List Loaded)
    (as : List Action) (effect : EffectId) (outcome : Outcome)
    (ended : 0 < endedIn effect.number (logOf effect.session (runOf config images as).events)) :
    ∃ s, (runOf config images as).machine.sessions[effect.session]? = some s ∧
      (runOf config images as).machine.input (.outcome effect outcome) =
        { machine := (runOf config images as).machine
          shown := {
            result := .refused (.late { session := s.id, number := effect.number })
            events := []
            request := none } } := by
  have good := good_run config images as
  generalize runOf config images as = r at ended good ⊢
  cases hs : r.machine.sessions[effect.session]? with
  | none =>
    rw [good.fresh _ (List.getElem?_eq_none_iff.mp hs)] at ended
    simp at ended
  | some s =>
    obtain ⟨i, hi, life⟩ := good.lives _ s hs
    obtain ⟨_, gone, below⟩ := life.entry.once ended
    have found : r.machine.find effect.session = some (s, i) := by
      simp [Machine.find, hs, good.images_eq, hi]
    have late : Nat.blt effect.number s.effectsIssued = true := by simpa using below
    refine ⟨s, rfl, ?_⟩
    simp [Machine.input, Machine.ingress, Machine.takeOutcome, found, resume, effectOf_none gone, late]

end Antiphon
