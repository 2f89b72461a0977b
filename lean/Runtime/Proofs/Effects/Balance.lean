module

public import Runtime.Proofs.Step.Kept
public import Runtime.ProtocolMachine.Semantics.Resume

@[expose] public section

/-!
# The balance of a session's effects

Every change of a session balances, for each effect number: the effects outstanding before plus
those newly issued are the effects outstanding afterwards plus those that ended.
-/

namespace Antiphon

/-- Whether an event issues the effect with number `n`. -/
def Event.issues (n : Nat) : Event → Bool
  | .effectIssued k _ _ _ _ => k == n
  | _ => false

/-- Whether an event ends the effect with number `n`: resolved, failed or invalidated. -/
def Event.ends (n : Nat) : Event → Bool
  | .effectResolved k _ => k == n
  | .effectFailed k _ _ => k == n
  | .effectInvalidated k => k == n
  | _ => false

/-- The number of events that issue the effect. -/
noncomputable def issuedIn (n : Nat) (events : List Event) : Nat := events.countP (Event.issues n)

/-- The number of events that end the effect. -/
noncomputable def endedIn (n : Nat) (events : List Event) : Nat := events.countP (Event.ends n)

/-- The number of outstanding effects with number `n`. -/
noncomputable def outstanding (n : Nat) (effects : List Effect) : Nat := effects.countP (fun e => e.number == n)

@[simp] theorem issuedIn_append (n : Nat) (xs ys : List Event) :
    issuedIn n (xs ++ ys) = issuedIn n xs + issuedIn n ys := List.countP_append ..

@[simp] theorem endedIn_append (n : Nat) (xs ys : List Event) :
    endedIn n (xs ++ ys) = endedIn n xs + endedIn n ys := List.countP_append ..

@[simp] theorem issuedIn_cons (n : Nat) (x : Event) (xs : List Event) :
    issuedIn n (x :: xs) = issuedIn n xs + if x.issues n then 1 else 0 := List.countP_cons ..

@[simp] theorem endedIn_cons (n : Nat) (x : Event) (xs : List Event) :
    endedIn n (x :: xs) = endedIn n xs + if x.ends n then 1 else 0 := List.countP_cons ..

@[simp] theorem issuedIn_nil (n : Nat) : issuedIn n [] = 0 := rfl
@[simp] theorem endedIn_nil (n : Nat) : endedIn n [] = 0 := rfl
@[simp] theorem outstanding_nil (n : Nat) : outstanding n [] = 0 := rfl

@[simp] theorem outstanding_append (n : Nat) (xs ys : List Effect) :
    outstanding n (xs ++ ys) = outstanding n xs + outstanding n ys := List.countP_append ..

@[simp] theorem outstanding_cons (n : Nat) (x : Effect) (xs : List Effect) :
    outstanding n (x :: xs) = outstanding n xs + if x.number == n then 1 else 0 := List.countP_cons ..

/-- A session that has ended has no outstanding effects. -/
def Quiet (s : Session) : Prop := ∀ how, s.phase = .terminal how → s.effects = []

/-- A change of a session and its events balance: the new numbers are issued once each, and what was
outstanding or is issued is outstanding afterwards or has ended. -/
structure Balanced (s s' : Session) (events : List Event) : Prop where
  grows : s.effectsIssued ≤ s'.effectsIssued
  issued : ∀ n, issuedIn n events = if s.effectsIssued ≤ n ∧ n < s'.effectsIssued then 1 else 0
  balance : ∀ n, outstanding n s.effects + issuedIn n events = outstanding n s'.effects + endedIn n events
  quiet : Quiet s'

/-- A change that affects neither the session's effects nor its phase, and whose events neither
issue nor end one, balances. -/
theorem Balanced.apart {s s' : Session} {events : List Event} (quiet : Quiet s)
    (effects : s'.effects = s.effects) (issued : s'.effectsIssued = s.effectsIssued)
    (phase : s'.phase = s.phase) (none : ∀ n, issuedIn n events = 0 ∧ endedIn n events = 0) :
    Balanced s s' events := by
  refine ⟨by omega, fun n => ?_, fun n => ?_, fun how h => ?_⟩
  · rw [(none n).1, issued, if_neg (by omega)]
  · rw [(none n).1, (none n).2, effects]
  · rw [effects]; exact quiet how (phase ▸ h)

theorem Balanced.still {s : Session} (quiet : Quiet s) : Balanced s s [] :=
  .apart quiet rfl rfl rfl fun _ => by simp

theorem leftovers_issued (n : Nat) (effects : List Effect) (witnesses : List Witness) :
    issuedIn n (leftovers effects witnesses) = 0 := by
  have h1 : issuedIn n (effects.map fun e => Event.effectInvalidated e.number) = 0 := by
    induction effects with
    | nil => rfl
    | cons e es ih => simp [ih, Event.issues]
  have h2 : issuedIn n (witnesses.map fun w => Event.witnessExpired w.number) = 0 := by
    induction witnesses with
    | nil => rfl
    | cons w ws ih => simp [ih, Event.issues]
  simp [leftovers, h1, h2]

theorem leftovers_ended (n : Nat) (effects : List Effect) (witnesses : List Witness) :
    endedIn n (leftovers effects witnesses) = outstanding n effects := by
  have h1 : endedIn n (effects.map fun e => Event.effectInvalidated e.number) = outstanding n effects := by
    induction effects with
    | nil => rfl
    | cons e es ih => simp [ih, Event.ends]
  have h2 : endedIn n (witnesses.map fun w => Event.witnessExpired w.number) = 0 := by
    induction witnesses with
    | nil => rfl
    | cons w ws ih => simp [ih, Event.ends]
  simp [leftovers, h1, h2]

/-- The end of a session balances, after any events that neither issue nor end an effect. -/
theorem Balanced.finish {s s' : Session} {before : List Event} (how : Ending)
    (effects : s'.effects = s.effects) (issued : s'.effectsIssued = s.effectsIssued)
    (none : ∀ n, issuedIn n before = 0 ∧ endedIn n before = 0) :
    Balanced s (finish s' how).1 (before ++ (finish s' how).2) := by
  refine ⟨by simp [Antiphon.finish, issued], fun n => ?_, fun n => ?_, fun _ _ => by simp [Antiphon.finish]⟩
  · rw [if_neg (by simp only [Antiphon.finish, issued]; omega)]
    simp [Antiphon.finish, (none n).1, leftovers_issued, Event.issues]
  · simp [Antiphon.finish, (none n).1, (none n).2, leftovers_issued, leftovers_ended, Event.issues, Event.ends,
      effects]

theorem Balanced.fail {s s' : Session} {before : List Event} (who : Nat) (fault : Fault)
    (effects : s'.effects = s.effects) (issued : s'.effectsIssued = s.effectsIssued)
    (none : ∀ n, issuedIn n before = 0 ∧ endedIn n before = 0) :
    Balanced s (fail s' who fault).1 (before ++ (fail s' who fault).2) := by
  unfold Antiphon.fail
  have h (s'' : Session) (he : s''.effects = s.effects) (hi : s''.effectsIssued = s.effectsIssued) :
      Balanced s (Antiphon.finish s'' .faulted).1 (before ++
        .failureBranchEntered who fault :: .faulted who fault :: (Antiphon.finish s'' .faulted).2) := by
    have := Balanced.finish (before := before ++ [.failureBranchEntered who fault, .faulted who fault]) .faulted he hi
      (fun n => by simp [none n, Event.issues, Event.ends])
    simpa using this
  cases getAt s'.coroutines who with
  | none => exact h s' effects issued
  | some c => exact h _ effects issued

/-- Issuing an effect balances. -/
theorem Balanced.issue {s : Session} (active : s.phase = .active) (who : Nat) (c : Coroutine)
    (operation : Nat) (deadline : Option Nat) (attempt : Nat) :
    Balanced s (issue s who c operation deadline attempt).1 [(issue s who c operation deadline attempt).2] := by
  refine ⟨by simp [Antiphon.issue], fun n => ?_, fun n => ?_, fun how h => by simp [Antiphon.issue, active] at h⟩
  · simp only [Antiphon.issue, issuedIn_cons, issuedIn_nil, Event.issues, beq_iff_eq]
    split <;> split <;> omega
  · simp [Antiphon.issue, Event.issues, Event.ends]

theorem executed_balanced {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {instruction : Instruction}
    {stepped : Stepped} (active : s.phase = .active) (h : Executed cx s who c instruction stepped) :
    Balanced s stepped.session stepped.events := by
  have quiet : Quiet s := fun how h => by simp [active] at h
  have sent {chan label val next : Nat} {chosen : Bool} (h : Sent cx s who c chan label val next chosen stepped) :
      Balanced s stepped.session stepped.events := by
    cases h with
    | full => exact .apart quiet rfl rfl rfl fun n => by simp [block, plain]
    | put =>
      refine .apart quiet rfl rfl rfl fun n => ?_
      cases chosen <;> simp [spokenEvent, Event.issues, Event.ends]
  have heard {chan dst : Nat} {chosen : Bool} {next : Nat → Option Nat}
      (h : Heard cx s who c chan dst chosen next stepped) : Balanced s stepped.session stepped.events := by
    cases h with
    | empty => exact .apart quiet rfl rfl rfl fun n => by simp [block, plain]
    | took =>
      refine .apart quiet rfl rfl rfl fun n => ?_
      cases chosen <;> simp [heardEvent, Event.issues, Event.ends]
  have asked {operation : Nat} {args : List Nat} {dst : Nat} {witness : Option Nat}
      (h : Asked cx s who c operation args dst witness stepped) : Balanced s stepped.session stepped.events := by
    cases h with
    | @asked o => simpa [issue] using Balanced.issue active who c operation (deadlineOf cx o) 0
  cases h with
  | send h => exact sent h
  | offer _ _ _ h => exact sent h
  | receive h => exact heard h
  | choose h => exact heard h
  | invoke h => exact asked h
  | check h => exact asked h
  | spawn h =>
    cases h
    exact .apart quiet rfl rfl rfl fun n => by simp [Event.issues, Event.ends]
  | set => exact .apart quiet rfl rfl rfl fun n => by simp [plain]
  | move => exact .apart quiet rfl rfl rfl fun n => by simp [plain]
  | jump => exact .apart quiet rfl rfl rfl fun n => by simp [plain]
  | branch => exact .apart quiet rfl rfl rfl fun n => by simp [plain]
  | «yield» => exact .apart quiet rfl rfl rfl fun n => by simp [plain]
  | close h =>
    cases h
    exact .finish (before := [.closed]) .closed rfl rfl fun n => by simp [Event.issues, Event.ends]
  | halt h =>
    cases h with
    | last =>
      exact .finish (before := [.halted who, .closed]) .closed rfl rfl fun n => by simp [Event.issues, Event.ends]
    | one => exact .apart quiet rfl rfl rfl fun n => by simp [Event.issues, Event.ends]

theorem step_balanced (cx : Context) {s : Session} (who : Nat) (quiet : Quiet s) :
    Balanced s (step cx s who).session (step cx s who).events := by
  have h := step_cases cx s who
  generalize step cx s who = stepped at h ⊢
  cases h with
  | absent => exact .still quiet
  | over => exact .still quiet
  | blocked => exact .still quiet
  | ran _ active _ _ h => exact executed_balanced active h
  | faulted => exact .fail (before := []) who _ rfl rfl fun n => by simp

theorem cancel_balanced (s : Session) : Balanced s (cancel s).1 (cancel s).2 :=
  .finish (before := [.cancellationRequested s.witnessesIssued, .cancelled s.witnessesIssued]) .cancelled rfl rfl
    fun n => by simp [Event.issues, Event.ends]

/-! ## Outcomes -/

theorem effectOf_number {number : Nat} {effects : List Effect} {e : Effect} (h : effectOf number effects = some e) :
    e.number = number := by
  induction effects with
  | nil => simp [effectOf] at h
  | cons x xs ih =>
    cases hx : Nat.beq x.number number with
    | true => simp only [effectOf, hx, Option.some.injEq] at h; subst h; simpa using hx
    | false => simp only [effectOf, hx] at h; exact ih h

theorem withoutEffect_outstanding {number : Nat} {effects : List Effect} {e : Effect}
    (h : effectOf number effects = some e) (n : Nat) :
    outstanding n effects = outstanding n (withoutEffect number effects) + if number == n then 1 else 0 := by
  induction effects with
  | nil => simp [effectOf] at h
  | cons x xs ih =>
    cases hx : Nat.beq x.number number with
    | true =>
      have : x.number = number := by simpa using hx
      simp [withoutEffect, this]
    | false =>
      simp only [effectOf, hx] at h
      simp only [withoutEffect, hx, outstanding_cons, ih h]
      omega

/-- A change that balances after an effect has been removed balances from before the removal if the
event that ends the effect is put in front. -/
theorem Balanced.after {s s' : Session} {effects : List Effect} {number : Nat} {first : Event} {events : List Event}
    (away : ∀ n, outstanding n s.effects = outstanding n effects + if number == n then 1 else 0)
    (shown : ∀ n, first.issues n = false ∧ first.ends n = (number == n))
    (h : Balanced { s with effects } s' events) : Balanced s s' (first :: events) := by
  refine ⟨h.grows, fun n => ?_, fun n => ?_, h.quiet⟩
  · simp [(shown n).1, h.issued n]
  · have : outstanding n effects + issuedIn n events = outstanding n s'.effects + endedIn n events := h.balance n
    simp only [away n, issuedIn_cons, endedIn_cons, shown n, Bool.false_eq_true, if_false]
    omega

theorem testify_kept (cx : Context) (s : Session) (effect : Nat) (kind : WitnessKind) :
    (testify cx s effect kind).1.effects = s.effects ∧
      (testify cx s effect kind).1.effectsIssued = s.effectsIssued ∧
      (testify cx s effect kind).1.phase = s.phase ∧
      ∀ n, issuedIn n (testify cx s effect kind).2 = 0 ∧ endedIn n (testify cx s effect kind).2 = 0 := by
  refine ⟨rfl, rfl, rfl, fun n => ?_⟩
  unfold testify
  cases Nat.ble (Nat.max cx.config.witnessesMax 1) (len s.witnesses) with
  | false => simp
  | true => cases s.witnesses <;> simp [Event.issues, Event.ends]

theorem succeed_balanced (cx : Context) {s : Session} (e : Effect) (value : Value) (effects : List Effect)
    (active : s.phase = .active)
    (away : ∀ n, outstanding n s.effects = outstanding n effects + if e.number == n then 1 else 0) :
    Balanced s (succeed cx { s with effects } e value).session (succeed cx { s with effects } e value).events := by
  have quiet : Quiet { s with effects } := fun how h => by simp [active] at h
  have shown (n : Nat) : (Event.effectResolved e.number value).issues n = false ∧
      (Event.effectResolved e.number value).ends n = (e.number == n) := ⟨rfl, rfl⟩
  unfold succeed
  cases getAt s.coroutines e.coroutine with
  | none => exact .after away shown (.still quiet)
  | some c =>
    cases ha : askingOf cx.image c with
    | none => simp only [ha]; exact .after away shown (.still quiet)
    | some asking =>
      obtain ⟨dst, witness, onFailure⟩ := asking
      cases witness with
      | none =>
        simp only [ha]
        exact .after away shown (.apart quiet rfl rfl rfl fun n => by simp)
      | some w =>
        simp only [ha]
        refine .after away shown (.apart quiet rfl rfl rfl fun n => ?_)
        have := (testify_kept cx { s with effects } e.number .check).2.2.2 n
        simp [this, Event.issues, Event.ends]

theorem disappoint_balanced (cx : Context) {s : Session} (e : Effect) (o : Operation) (kind : FailureKind)
    (detail : Bytes) (effects : List Effect) (active : s.phase = .active)
    (away : ∀ n, outstanding n s.effects = outstanding n effects + if e.number == n then 1 else 0) :
    Balanced s (disappoint cx { s with effects } e o kind detail).session
      (disappoint cx { s with effects } e o kind detail).events := by
  have quiet : Quiet { s with effects } := fun how h => by simp [active] at h
  have shown (n : Nat) : (Event.effectFailed e.number kind detail).issues n = false ∧
      (Event.effectFailed e.number kind detail).ends n = (e.number == n) := ⟨rfl, rfl⟩
  simp only [disappoint]
  split
  · exact .after away shown (.still quiet)
  · split
    · exact .after away shown (.issue (s := { s with effects }) active _ _ _ _ _)
    · split
      · exact .after away shown (.apart quiet rfl rfl rfl fun n => by simp [Event.issues, Event.ends])
      · exact .after away shown (.fail (before := []) _ _ rfl rfl fun n => by simp)

theorem resume_balanced {cx : Context} {s : Session} {number : Nat} {outcome : Outcome} {taken : Taken}
    (quiet : Quiet s) (h : resume cx s number outcome = .ok taken) :
    Balanced s taken.session taken.events := by
  unfold resume at h
  split at h
  · split at h <;> simp at h
  · rename_i e he
    split at h
    · simp at h
    · rename_i o _
      have active : s.phase = .active := by
        cases hp : s.phase with
        | active => rfl
        | terminal how => rw [quiet how hp] at he; simp [effectOf] at he
      have hn := effectOf_number he
      have away (n : Nat) := withoutEffect_outstanding he n
      rw [← hn] at away
      cases h
      unfold takeOutcome
      dsimp only
      split
      · exact disappoint_balanced cx e o _ _ _ active away
      · split
        · exact succeed_balanced cx e _ _ active away
        · exact disappoint_balanced cx e o _ _ _ active away

theorem expire_balanced {cx : Context} {s : Session} {number : Nat} {taken : Taken} (quiet : Quiet s)
    (h : expire cx s number = some taken) : Balanced s taken.session taken.events := by
  unfold expire at h
  split at h
  · simp at h
  · have hk := testify_kept cx s number .timeout
    have hq : Quiet (testify cx s number .timeout).1 := fun how hp => hk.1 ▸ quiet how (hk.2.2.1 ▸ hp)
    dsimp only at h
    split at h
    · simp at h
    · rename_i taken' hr
      cases h
      have hb := resume_balanced hq hr
      refine ⟨hk.2.1 ▸ hb.grows, fun n => ?_, fun n => ?_, hb.quiet⟩
      · have := hb.issued n
        simp only [app_eq, issuedIn_append, (hk.2.2.2 n).1, issuedIn_cons, this, hk.2.1, Event.issues]
        simp
      · have := hb.balance n
        simp only [app_eq, issuedIn_append, endedIn_append, hk.2.2.2 n, issuedIn_cons, endedIn_cons, Event.issues,
          Event.ends]
        rw [hk.1] at this
        simp only [Bool.false_eq_true, if_false]
        omega

theorem expireWitness_balanced {s : Session} (number : Nat) (quiet : Quiet s) :
    Balanced s (expireWitness s number).1 (expireWitness s number).2 := by
  unfold expireWitness
  split
  · exact .still quiet
  · split
    · exact .apart quiet rfl rfl rfl fun n => by simp [Event.issues, Event.ends]
    · exact .still quiet

end Antiphon
