module

public import Runtime.Proofs.Step.Cases

@[expose] public section

/-! # What a step never changes -/

namespace Antiphon

theorem fail_eq (s : Session) (who : Nat) (fault : Fault) (c : Coroutine) (found : s.coroutines[who]? = some c) :
    (fail s who fault).1 = (finish (s.withCoroutine who { c with status := .faulted }) .faulted).1 := by
  simp [fail, found]

/-- An instruction keeps the session's number, image, owner and count of events, the numbers of
endpoints and edges and the count of witnesses issued, and decreases neither the number of
coroutines nor the count of effects issued. This is enough for facts about a single field. -/
theorem executed_kept {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {instruction : Instruction}
    {stepped : Stepped} (h : Executed cx s who c instruction stepped) :
    stepped.session.id = s.id ∧ stepped.session.image = s.image ∧ stepped.session.owner = s.owner ∧
      stepped.session.events = s.events ∧ s.coroutines.length ≤ stepped.session.coroutines.length ∧
      stepped.session.endpoints.length = s.endpoints.length ∧
      stepped.session.edges.length = s.edges.length ∧
      s.effectsIssued ≤ stepped.session.effectsIssued ∧
      stepped.session.witnessesIssued = s.witnessesIssued := by
  cases h with
  | send h => cases h <;> simp [block, plain, Session.withCoroutine, wake_length]
  | offer _ _ _ h => cases h <;> simp [block, plain, Session.withCoroutine, wake_length]
  | receive h => cases h <;> simp [block, plain, Session.withCoroutine, wake_length]
  | choose h => cases h <;> simp [block, plain, Session.withCoroutine, wake_length]
  | invoke h => cases h; simp
  | check h => cases h; simp
  | spawn h => cases h; simp
  | set => simp [plain, Session.withCoroutine]
  | move => simp [plain, Session.withCoroutine]
  | jump => simp [plain, Session.withCoroutine]
  | branch => simp [plain, Session.withCoroutine]
  | «yield» => simp [plain, Session.withCoroutine]
  | close h => cases h; simp [finish]
  | halt h => cases h <;> simp [finish, Session.halting]

theorem step_kept (cx : Context) (s : Session) (who : Nat) :
    (step cx s who).session.id = s.id ∧ (step cx s who).session.image = s.image ∧
      (step cx s who).session.owner = s.owner ∧ (step cx s who).session.events = s.events ∧
      s.coroutines.length ≤ (step cx s who).session.coroutines.length ∧
      (step cx s who).session.endpoints.length = s.endpoints.length ∧
      (step cx s who).session.edges.length = s.edges.length ∧
      s.effectsIssued ≤ (step cx s who).session.effectsIssued ∧
      (step cx s who).session.witnessesIssued = s.witnessesIssued := by
  have h := step_cases cx s who
  generalize step cx s who = stepped at h ⊢
  cases h with
  | absent => simp [still]
  | over => simp [still]
  | blocked => simp [still]
  | ran _ _ _ _ h => exact executed_kept h
  | faulted found => simp [faulting, fail_eq _ _ _ _ found, finish, Session.withCoroutine]

/-- A step does not change the session's number. -/
theorem step_id (cx : Context) (s : Session) (who : Nat) : (step cx s who).session.id = s.id :=
  (step_kept cx s who).1

/-- A step does not change the session's image. -/
theorem step_image (cx : Context) (s : Session) (who : Nat) : (step cx s who).session.image = s.image :=
  (step_kept cx s who).2.1

/-- A step does not change the session's owner. -/
theorem step_owner (cx : Context) (s : Session) (who : Nat) : (step cx s who).session.owner = s.owner :=
  (step_kept cx s who).2.2.1

/-- A step does not change the session's count of events, which the commit increases. -/
theorem step_events_counter (cx : Context) (s : Session) (who : Nat) :
    (step cx s who).session.events = s.events :=
  (step_kept cx s who).2.2.2.1

/-- A step does not decrease the number of coroutines. -/
theorem step_coroutines_length (cx : Context) (s : Session) (who : Nat) :
    s.coroutines.length ≤ (step cx s who).session.coroutines.length :=
  (step_kept cx s who).2.2.2.2.1

/-- A step does not change the number of endpoints. -/
theorem step_endpoints_length (cx : Context) (s : Session) (who : Nat) :
    (step cx s who).session.endpoints.length = s.endpoints.length :=
  (step_kept cx s who).2.2.2.2.2.1

/-- A step does not change the number of edges. -/
theorem step_edges_length (cx : Context) (s : Session) (who : Nat) :
    (step cx s who).session.edges.length = s.edges.length :=
  (step_kept cx s who).2.2.2.2.2.2.1

/-- A step does not decrease the count of effects issued. -/
theorem step_effectsIssued_le (cx : Context) (s : Session) (who : Nat) :
    s.effectsIssued ≤ (step cx s who).session.effectsIssued :=
  (step_kept cx s who).2.2.2.2.2.2.2.1

/-- A step does not change the count of witnesses issued. -/
theorem step_witnessesIssued (cx : Context) (s : Session) (who : Nat) :
    (step cx s who).session.witnessesIssued = s.witnessesIssued :=
  (step_kept cx s who).2.2.2.2.2.2.2.2

/-- A step of a session that has ended changes nothing, has no events and wakes no coroutine. -/
theorem step_terminal {cx : Context} {s : Session} {how : Ending} (ended : s.phase = .terminal how)
    (who : Nat) : step cx s who = still s .halted := by
  have h := step_cases cx s who
  generalize step cx s who = stepped at h ⊢
  cases h with
  | absent => rfl
  | over => rfl
  | blocked _ active => simp [ended] at active
  | ran _ active => simp [ended] at active
  | faulted _ active => simp [ended] at active

/-- A step of a coroutine that is not ready changes nothing in the session, has no events and wakes
no coroutine. -/
theorem step_not_ready {cx : Context} {s : Session} {who : Nat}
    (idle : ∀ c, s.coroutines[who]? = some c → c.status ≠ .ready) :
    (step cx s who).session = s ∧ (step cx s who).events = [] ∧ (step cx s who).woken = none := by
  have h := step_cases cx s who
  generalize step cx s who = stepped at h ⊢
  cases h with
  | absent => simp [still]
  | over => simp [still]
  | blocked => simp [still]
  | ran found _ ready => exact absurd ready (idle _ found)
  | faulted found _ ready => exact absurd ready (idle _ found)

end Antiphon
