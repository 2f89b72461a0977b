module

public import Runtime.Proofs.Concurrency.Turns

@[expose] public noncomputable section

/-!
# A step keeps the coroutines in the queue ready

A coroutine that a step wakes is ready, and a coroutine that stays in the queue is ready.
-/

namespace Antiphon

/-- The coroutine with number `k` is ready. -/
def ReadyAt (cs : List Coroutine) (k : Nat) : Prop := ∃ c, cs[k]? = some c ∧ c.status = .ready

theorem ReadyAt.set_ne {cs : List Coroutine} {k who : Nat} (h : ReadyAt cs k) (ne : k ≠ who)
    (x : Coroutine) : ReadyAt (cs.set who x) k := by
  obtain ⟨c, hc, hr⟩ := h
  exact ⟨c, by rw [List.getElem?_set_ne (Ne.symm ne)]; exact hc, hr⟩

theorem ReadyAt.set_self {cs : List Coroutine} {who : Nat} {c x : Coroutine}
    (found : cs[who]? = some c) (ready : x.status = .ready) : ReadyAt (cs.set who x) who :=
  ⟨x, by simp [(List.getElem?_eq_some_iff.1 found).1], ready⟩

theorem ReadyAt.wake {cs : List Coroutine} {k : Nat} (h : ReadyAt cs k) (es : List Endpoint)
    (peer : Nat) (on : On) : ReadyAt (wake es cs peer on).1 k := by
  rcases wake_cases es cs peer on with ⟨e, _⟩ | ⟨e, c, _, hc, _, eq⟩
  · rw [e]; exact h
  · rw [eq]
    by_cases hk : k = e.holder
    · subst hk; exact ReadyAt.set_self hc rfl
    · exact h.set_ne hk _

theorem ReadyAt.woken {cs : List Coroutine} {es : List Endpoint} {peer w : Nat} {on : On}
    (h : (Antiphon.wake es cs peer on).2 = some w) : ReadyAt (Antiphon.wake es cs peer on).1 w := by
  rcases wake_cases es cs peer on with ⟨e, _⟩ | ⟨e, c, _, hc, _, eq⟩
  · rw [e] at h; cases h
  · rw [eq] at h ⊢
    injection h with h
    subst h
    exact ReadyAt.set_self hc rfl

/-- How a step affects readiness: unless the session ends, the other ready coroutines stay ready; a
coroutine that continues is ready; a coroutine that was woken is ready. -/
structure StepReady (s : Session) (who : Nat) (r : Stepped) : Prop where
  others : r.session.phase = .active → ∀ k, k ≠ who → ReadyAt s.coroutines k →
    ReadyAt r.session.coroutines k
  goesOn : r.step = .ran ∨ r.step = .yielded → ReadyAt r.session.coroutines who
  woken : ∀ w, r.woken = some w → ReadyAt r.session.coroutines w

theorem stepReady_plain {s : Session} {who : Nat} {c c' : Coroutine}
    (found : s.coroutines[who]? = some c) (ready : c'.status = .ready) (step : Step) :
    StepReady s who (plain s who c' step) where
  others _ k ne h := by
    simpa [plain, Session.withCoroutine] using h.set_ne ne c'
  goesOn _ := by
    simpa [plain, Session.withCoroutine] using ReadyAt.set_self found ready
  woken w h := by cases h

/-- A step that replaces only its own coroutine, results in neither `ran` nor `yielded`, and wakes
no coroutine satisfies `StepReady`. -/
theorem stepReady_stops {s : Session} {who : Nat} {r : Stepped} {c : Coroutine}
    (set : r.session.coroutines = s.coroutines.set who c) (ran : r.step ≠ .ran)
    (yielded : r.step ≠ .yielded) (nobody : r.woken = none) : StepReady s who r where
  others _ k ne h := by rw [set]; exact h.set_ne ne c
  goesOn h := h.elim (absurd · ran) (absurd · yielded)
  woken w h := by rw [nobody] at h; cases h

/-- A step that ends the session, results in neither `ran` nor `yielded`, and wakes no coroutine
satisfies `StepReady`. -/
theorem stepReady_ends {s : Session} {who : Nat} {r : Stepped} (over : r.session.phase ≠ .active)
    (ran : r.step ≠ .ran) (yielded : r.step ≠ .yielded) (nobody : r.woken = none) :
    StepReady s who r where
  others h := absurd h over
  goesOn h := h.elim (absurd · ran) (absurd · yielded)
  woken w h := by rw [nobody] at h; cases h

theorem stepReady_message {s : Session} {who : Nat} {r : Stepped} {c c' : Coroutine}
    {es : List Endpoint} {peer : Nat} {on : On} (found : s.coroutines[who]? = some c)
    (ready : c'.status = .ready)
    (coroutines : r.session.coroutines = (wake es (s.coroutines.set who c') peer on).1)
    (woken : r.woken = (wake es (s.coroutines.set who c') peer on).2) : StepReady s who r where
  others _ k ne h := by rw [coroutines]; exact (h.set_ne ne c').wake es peer on
  goesOn _ := by rw [coroutines]; exact (ReadyAt.set_self found ready).wake es peer on
  woken w h := by rw [coroutines]; rw [woken] at h; exact ReadyAt.woken h

theorem sent_ready {cx : Context} {s : Session} {who : Nat} {c : Coroutine}
    {chan label val next : Nat} {chosen : Bool} {r : Stepped} (found : s.coroutines[who]? = some c)
    (ready : c.status = .ready) (h : Sent cx s who c chan label val next chosen r) :
    StepReady s who r := by
  cases h with
  | full => exact stepReady_stops (by simp [block, plain, Session.withCoroutine]; rfl) nofun nofun rfl
  | put => exact stepReady_message found (c' := { c with pc := next }) ready rfl rfl

theorem heard_ready {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {chan dst : Nat}
    {chosen : Bool} {next : Nat → Option Nat} {r : Stepped} (found : s.coroutines[who]? = some c)
    (ready : c.status = .ready) (h : Heard cx s who c chan dst chosen next r) :
    StepReady s who r := by
  cases h with
  | empty => exact stepReady_stops (by simp [block, plain, Session.withCoroutine]; rfl) nofun nofun rfl
  | took => exact stepReady_message found (by exact ready) rfl rfl

theorem executed_ready {cx : Context} {s : Session} {who : Nat} {c : Coroutine}
    {instruction : Instruction} {r : Stepped} (found : s.coroutines[who]? = some c)
    (ready : c.status = .ready) (h : Executed cx s who c instruction r) : StepReady s who r := by
  cases h with
  | send h => exact sent_ready found ready h
  | offer _ _ _ h => exact sent_ready found ready h
  | receive h => exact heard_ready found ready h
  | choose h => exact heard_ready found ready h
  | invoke h => cases h; exact stepReady_stops rfl nofun nofun rfl
  | check h => cases h; exact stepReady_stops rfl nofun nofun rfl
  | spawn h =>
    cases h with
    | @spawned old child _ _ filled _ =>
      have fresh := (spawnArgs_ok filled).1
      refine ⟨?_, ?_, ?_⟩
      · intro _ k ne h
        obtain ⟨x, hx, hr⟩ := h.set_ne ne _
        exact ⟨x, by
          rw [List.getElem?_append_left (List.getElem?_eq_some_iff.1 hx).1]; exact hx, hr⟩
      · intro _
        obtain ⟨x, hx, hr⟩ := ReadyAt.set_self (x := { c with pc := nextPc c.pc, registers := _ })
          found ready
        exact ⟨x, by
          rw [List.getElem?_append_left (List.getElem?_eq_some_iff.1 hx).1]; exact hx, hr⟩
      · intro w h
        injection h with h
        subst h
        exact ⟨child, by simp, by rw [fresh]; rfl⟩
  | set => exact stepReady_plain found (by exact ready) _
  | move => exact stepReady_plain found (by exact ready) _
  | jump => exact stepReady_plain found (by exact ready) _
  | branch => exact stepReady_plain found (by exact ready) _
  | «yield» => exact stepReady_plain found (by exact ready) _
  | close h => cases h; exact stepReady_ends nofun nofun nofun rfl
  | halt h =>
    cases h with
    | last => exact stepReady_ends nofun nofun nofun rfl
    | one => exact stepReady_stops rfl nofun nofun rfl

/-- Every step satisfies `StepReady`. -/
theorem step_ready (cx : Context) (s : Session) (who : Nat) : StepReady s who (step cx s who) := by
  have h := step_cases cx s who
  generalize step cx s who = r at h ⊢
  have idle : ∀ st : Step, st ≠ .ran → st ≠ .yielded → StepReady s who (still s st) :=
    fun st h1 h2 => ⟨fun _ _ _ h => h, fun h =>
      h.elim (absurd · h1) (absurd · h2), nofun⟩
  cases h with
  | absent => exact idle _ nofun nofun
  | over => exact idle _ nofun nofun
  | blocked => exact idle _ nofun nofun
  | ran found _ ready _ h => exact executed_ready found ready h
  | faulted => exact stepReady_ends nofun nofun nofun rfl

end Antiphon
