module

public import Runtime.Proofs.Scheduler.Ready
public import Runtime.Proofs.Session.Runs

@[expose] public noncomputable section

/-!
# The coroutine that issued an effect waits for it

Every outstanding effect of a session has one coroutine that is blocked on it, at the instruction
that issued it. So an outcome wakes a coroutine that was not ready and makes it ready.
-/

namespace Antiphon

/-- The coroutine of each outstanding effect is blocked on it at the instruction that issued it; the
effects' numbers are distinct and have been issued; a session that has ended has no outstanding
effect. -/
structure Asks (i : Loaded) (s : Session) : Prop where
  each : ∀ e, e ∈ s.effects → e.number < s.effectsIssued ∧ ∃ c, s.coroutines[e.coroutine]? = some c ∧
    c.status = .blocked (.effect e.number) ∧ ∃ a, askingOf i c = some a
  distinct : s.effects.Pairwise fun a b => a.number ≠ b.number
  quiet : s.phase ≠ .active → s.effects = []

theorem Asks.over {i : Loaded} {s : Session} (none : s.effects = []) : Asks i s :=
  ⟨by simp [none], by simp [none], fun _ => none⟩

theorem Asks.kept {i : Loaded} {s s' : Session} (h : Asks i s) (effects : s'.effects = s.effects)
    (issued : s'.effectsIssued = s.effectsIssued) (phase : s'.phase = s.phase)
    (same : ∀ e, e ∈ s.effects → s'.coroutines[e.coroutine]? = s.coroutines[e.coroutine]?) :
    Asks i s' := by
  refine ⟨?_, by rw [effects]; exact h.distinct, by rw [effects, phase]; exact h.quiet⟩
  intro e he
  rw [effects] at he
  rw [issued, same e he]
  exact h.each e he

theorem Asks.issued {i : Loaded} {s s' : Session} {who : Nat} {c : Coroutine} {e : Effect}
    {a : Asking} (h : Asks i s) (active : s.phase = .active)
    (free : ∀ e, e ∈ s.effects → e.coroutine ≠ who) (found : s.coroutines[who]? = some c)
    (asking : askingOf i c = some a) (effects : s'.effects = s.effects ++ [e])
    (number : e.number = s.effectsIssued) (of : e.coroutine = who)
    (issued : s'.effectsIssued = s.effectsIssued + 1) (phase : s'.phase = s.phase)
    (coroutines : s'.coroutines =
      s.coroutines.set who { c with status := .blocked (.effect s.effectsIssued) }) : Asks i s' := by
  have lt := (List.getElem?_eq_some_iff.1 found).1
  refine ⟨?_, ?_, fun over => absurd (phase.trans active) over⟩
  · intro x hx
    rw [effects, List.mem_append, List.mem_singleton] at hx
    rw [issued, coroutines]
    rcases hx with hx | rfl
    · obtain ⟨h1, h2⟩ := h.each x hx
      rw [List.getElem?_set_ne (Ne.symm (free x hx))]
      exact ⟨by omega, h2⟩
    · refine ⟨by omega, { c with status := .blocked (.effect s.effectsIssued) }, ?_, ?_, a, asking⟩
      · rw [of]; simp [lt]
      · rw [number]
  · rw [effects, List.pairwise_append]
    refine ⟨h.distinct, by simp, ?_⟩
    intro x hx y hy
    have := (h.each x hx).1
    rw [List.mem_singleton.1 hy, number]
    omega

/-- A ready coroutine is not the coroutine of any outstanding effect. -/
theorem Asks.free {i : Loaded} {s : Session} (h : Asks i s) {who : Nat} {c : Coroutine}
    (found : s.coroutines[who]? = some c) (ready : c.status = .ready) :
    ∀ e, e ∈ s.effects → e.coroutine ≠ who := by
  intro e he eq
  obtain ⟨_, x, hx, hb, _⟩ := h.each e he
  rw [eq, found] at hx
  cases hx
  rw [ready] at hb
  cases hb

/-- A wake-up for an edge does not change a coroutine that is blocked on an effect. -/
theorem wake_effect {cs : List Coroutine} {es : List Endpoint} {peer k n : Nat} {on : On}
    {c : Coroutine} (found : cs[k]? = some c) (blocked : c.status = .blocked (.effect n))
    (edge : ∀ n, on ≠ .effect n) : (wake es cs peer on).1[k]? = cs[k]? := by
  rcases wake_cases es cs peer on with ⟨e, _⟩ | ⟨e, x, _, hx, hb, eq⟩
  · rw [e]
  · rw [eq]
    refine List.getElem?_set_ne fun same => ?_
    rw [same, found] at hx
    cases hx
    rw [blocked] at hb
    injection hb with hb
    exact edge n hb.symm

section
variable {cx : Context} {s : Session} {who : Nat} {c : Coroutine} {r : Stepped}

theorem Asks.set {i : Loaded} (h : Asks i s) (found : s.coroutines[who]? = some c)
    (ready : c.status = .ready) (effects : r.session.effects = s.effects)
    (issued : r.session.effectsIssued = s.effectsIssued) (phase : r.session.phase = s.phase)
    (x : Coroutine) (coroutines : r.session.coroutines = s.coroutines.set who x) :
    Asks i r.session :=
  h.kept effects issued phase fun e he => by
    rw [coroutines, List.getElem?_set_ne (Ne.symm (h.free found ready e he))]

theorem Asks.message {i : Loaded} (h : Asks i s) (found : s.coroutines[who]? = some c)
    (ready : c.status = .ready) {x : Coroutine} {es : List Endpoint} {peer : Nat} {on : On}
    (edge : ∀ n, on ≠ .effect n) (effects : r.session.effects = s.effects)
    (issued : r.session.effectsIssued = s.effectsIssued) (phase : r.session.phase = s.phase)
    (coroutines : r.session.coroutines = (wake es (s.coroutines.set who x) peer on).1) :
    Asks i r.session :=
  h.kept effects issued phase fun e he => by
    obtain ⟨_, y, hy, hb, _⟩ := h.each e he
    have same : (s.coroutines.set who x)[e.coroutine]? = s.coroutines[e.coroutine]? :=
      List.getElem?_set_ne (Ne.symm (h.free found ready e he))
    rw [coroutines, wake_effect (same.trans hy) hb edge, same]

theorem sent_asks {chan label val next : Nat} {chosen : Bool} (h : Asks cx.image s)
    (found : s.coroutines[who]? = some c) (ready : c.status = .ready)
    (sent : Sent cx s who c chan label val next chosen r) : Asks cx.image r.session := by
  cases sent with
  | full => exact h.set found ready rfl rfl rfl _ (by simp [block, plain, Session.withCoroutine]; rfl)
  | put =>
    exact h.message found ready (x := { c with pc := next }) (fun _ h => by cases h) rfl rfl rfl rfl

theorem heard_asks {chan dst : Nat} {chosen : Bool} {next : Nat → Option Nat} (h : Asks cx.image s)
    (found : s.coroutines[who]? = some c) (ready : c.status = .ready)
    (heard : Heard cx s who c chan dst chosen next r) : Asks cx.image r.session := by
  cases heard with
  | empty => exact h.set found ready rfl rfl rfl _ (by simp [block, plain, Session.withCoroutine]; rfl)
  | took => exact h.message found ready (fun _ h => by cases h) rfl rfl rfl rfl

theorem asked_asks {operation dst : Nat} {args : List Nat} {witness : Option Nat} {a : Asking}
    (h : Asks cx.image s) (found : s.coroutines[who]? = some c) (ready : c.status = .ready)
    (active : s.phase = .active) (asking : askingOf cx.image c = some a)
    (asked : Asked cx s who c operation args dst witness r) : Asks cx.image r.session := by
  cases asked with
  | asked => exact h.issued active (h.free found ready) found asking rfl rfl rfl rfl rfl rfl

theorem executed_asks {instruction : Instruction} (h : Asks cx.image s)
    (found : s.coroutines[who]? = some c) (ready : c.status = .ready) (active : s.phase = .active)
    (fetched : fetch cx.image c.program c.pc = .ok instruction)
    (executed : Executed cx s who c instruction r) : Asks cx.image r.session := by
  have set : ∀ (x : Coroutine) (st : Step), Asks cx.image (plain s who x st).session := fun x st =>
    h.set (r := plain s who x st) found ready rfl rfl rfl x (by simp [plain, Session.withCoroutine])
  cases executed with
  | send sent => exact sent_asks h found ready sent
  | offer _ _ _ sent => exact sent_asks h found ready sent
  | receive heard => exact heard_asks h found ready heard
  | choose heard => exact heard_asks h found ready heard
  | invoke asked =>
    exact asked_asks h found ready active (by simp only [askingOf, fetched]; rfl) asked
  | check asked =>
    exact asked_asks h found ready active (by simp only [askingOf, fetched]; rfl) asked
  | spawn spawned =>
    cases spawned with
    | spawned =>
      refine h.kept rfl rfl rfl fun e he => ?_
      obtain ⟨_, y, hy, _, _⟩ := h.each e he
      have lt := (List.getElem?_eq_some_iff.1 hy).1
      rw [List.getElem?_append_left (by simpa using lt),
        List.getElem?_set_ne (Ne.symm (h.free found ready e he))]
  | set => exact set _ _
  | move => exact set _ _
  | jump => exact set _ _
  | branch => exact set _ _
  | «yield» => exact set _ _
  | close closed => cases closed; exact .over rfl
  | halt halted =>
    cases halted with
    | last => exact .over rfl
    | one => exact h.set found ready rfl rfl rfl _ rfl

theorem step_asks (h : Asks cx.image s) (who : Nat) : Asks cx.image (step cx s who).session := by
  have cases_ := step_cases cx s who
  generalize step cx s who = r at cases_ ⊢
  cases cases_ with
  | absent => exact h
  | over => exact h
  | blocked => exact h
  | ran found active ready fetched executed =>
    exact executed_asks h found ready active fetched executed
  | faulted => exact .over rfl

end

/-! ## Outcomes -/

theorem effectOf_some {number : Nat} {es : List Effect} {e : Effect}
    (h : effectOf number es = some e) : e ∈ es ∧ e.number = number := by
  induction es with
  | nil => cases h
  | cons x xs ih =>
    simp only [effectOf] at h
    split at h
    · rename_i same
      cases h
      exact ⟨List.mem_cons_self, by simpa using same⟩
    · exact ⟨List.mem_cons_of_mem _ (ih h).1, (ih h).2⟩

theorem withoutEffect_sublist (number : Nat) (es : List Effect) :
    (withoutEffect number es).Sublist es := by
  induction es with
  | nil => exact List.Sublist.refl _
  | cons x xs ih =>
    simp only [withoutEffect]
    split
    · exact List.sublist_cons_self _ _
    · exact ih.cons₂ _

theorem mem_withoutEffect {number : Nat} {es : List Effect} {e : Effect}
    (distinct : es.Pairwise fun a b => a.number ≠ b.number) (h : e ∈ withoutEffect number es) :
    e.number ≠ number := by
  induction es with
  | nil => simp [withoutEffect] at h
  | cons x xs ih =>
    have ⟨first, rest⟩ := List.pairwise_cons.1 distinct
    simp only [withoutEffect] at h
    split at h
    · rename_i same
      have same : x.number = number := by simpa using same
      rw [← same]
      exact Ne.symm (first e h)
    · rename_i other
      rcases List.mem_cons.1 h with rfl | h
      · exact beq_false_iff.1 other
      · exact ih rest h

/-- How an outcome affects readiness: unless the session ends, every ready coroutine stays ready,
and a coroutine that is reported as ready is ready. -/
structure TakenReady (s : Session) (t : Taken) : Prop where
  others : (∀ f, t.resumed ≠ .faulted f) →
    t.session.phase = s.phase ∧ ∀ k, ReadyAt s.coroutines k → ReadyAt t.session.coroutines k
  goesOn : ∀ k, t.resumed = .ready k → ReadyAt t.session.coroutines k

section
variable {cx : Context} {s : Session} {e : Effect} {c : Coroutine} {t : Taken}

/-- If applying an outcome only replaces the effect's coroutine by a ready one and reports it as
ready, it preserves `Asks` and satisfies `TakenReady`. -/
theorem asks_goesOn {i : Loaded} (h : Asks i s) (free : ∀ x, x ∈ s.effects → x.coroutine ≠ e.coroutine)
    (found : s.coroutines[e.coroutine]? = some c) {x : Coroutine} (ready : x.status = .ready)
    (effects : t.session.effects = s.effects) (issued : t.session.effectsIssued = s.effectsIssued)
    (phase : t.session.phase = s.phase)
    (coroutines : t.session.coroutines = s.coroutines.set e.coroutine x)
    (resumed : t.resumed = .ready e.coroutine) : Asks i t.session ∧ TakenReady s t := by
  refine ⟨h.kept effects issued phase fun x hx => ?_, fun _ => ⟨phase, fun k hk => ?_⟩, fun k hk => ?_⟩
  · rw [coroutines, List.getElem?_set_ne (Ne.symm (free x hx))]
  · rw [coroutines]
    by_cases same : k = e.coroutine
    · rw [same]; exact ReadyAt.set_self found ready
    · exact hk.set_ne same _
  · rw [resumed] at hk
    cases hk
    rw [coroutines]
    exact ReadyAt.set_self found ready

theorem succeed_asks {a : Asking} (h : Asks cx.image s)
    (free : ∀ x, x ∈ s.effects → x.coroutine ≠ e.coroutine)
    (found : s.coroutines[e.coroutine]? = some c) (asking : askingOf cx.image c = some a)
    (value : Value) :
    Asks cx.image (succeed cx s e value).session ∧ TakenReady s (succeed cx s e value) := by
  simp only [succeed, getAt_eq, found, asking]
  split
  · exact asks_goesOn h free found (x := { c with registers := _, pc := _, status := .ready }) rfl rfl
      rfl rfl (by simp [Session.withCoroutine]; rfl) rfl
  · exact asks_goesOn h free found (x := { c with registers := _, pc := _, status := .ready }) rfl rfl
      rfl rfl (by simp [Session.withCoroutine, testify]; rfl) rfl

theorem disappoint_asks {a : Asking} {n : Nat} (h : Asks cx.image s) (active : s.phase = .active)
    (free : ∀ x, x ∈ s.effects → x.coroutine ≠ e.coroutine)
    (found : s.coroutines[e.coroutine]? = some c) (blocked : c.status = .blocked (.effect n))
    (asking : askingOf cx.image c = some a) (o : Operation) (kind : FailureKind) (detail : Bytes) :
    Asks cx.image (disappoint cx s e o kind detail).session ∧
      TakenReady s (disappoint cx s e o kind detail) := by
  simp only [disappoint, getAt_eq, found]
  split
  · have coroutines : (issue s e.coroutine c e.operation e.deadline (e.attempt + 1)).1.coroutines =
        s.coroutines.set e.coroutine { c with status := .blocked (.effect s.effectsIssued) } := by
      simp [issue]
    refine ⟨Asks.issued (s' := (issue s e.coroutine c e.operation e.deadline (e.attempt + 1)).1) h
      active free found asking (e := {
        number := s.effectsIssued, deadline := e.deadline, operation := e.operation,
        coroutine := e.coroutine, attempt := e.attempt + 1 }) (by simp [issue]) rfl rfl rfl rfl
        coroutines, fun _ => ⟨rfl, fun k hk => ?_⟩, fun _ h => by cases h⟩
    show ReadyAt (issue s e.coroutine c e.operation e.deadline (e.attempt + 1)).1.coroutines k
    rw [coroutines]
    refine hk.set_ne (fun same => ?_) _
    obtain ⟨x, hx, hr⟩ := hk
    rw [same, found] at hx
    cases hx
    rw [blocked] at hr
    cases hr
  · split
    · exact asks_goesOn h free found (x := { c with registers := _, pc := _, status := .ready }) rfl
        rfl rfl rfl (by simp [Session.withCoroutine]; rfl) rfl
    · exact ⟨.over rfl, fun h => absurd rfl (h _), fun _ h => by cases h⟩

theorem takeOutcome_asks {number : Nat} (h : Asks cx.image s)
    (outstanding : effectOf number s.effects = some e) (o : Operation) (outcome : Outcome) :
    s.phase = .active ∧ Asks cx.image (takeOutcome cx s e o outcome).session ∧
      TakenReady s (takeOutcome cx s e o outcome) := by
  obtain ⟨mem, _⟩ := effectOf_some outstanding
  obtain ⟨_, c, found, blocked, a, asking⟩ := h.each e mem
  have active : s.phase = .active := by
    refine Decidable.byContradiction fun over => ?_
    rw [h.quiet over] at mem
    cases mem
  have sub := withoutEffect_sublist e.number s.effects
  have without : Asks cx.image { s with effects := withoutEffect e.number s.effects } :=
    ⟨fun x hx => h.each x (sub.subset hx), h.distinct.sublist sub, fun over => absurd active over⟩
  have free : ∀ x, x ∈ withoutEffect e.number s.effects → x.coroutine ≠ e.coroutine := by
    intro x hx same
    obtain ⟨_, y, hy, hb, _⟩ := h.each x (sub.subset hx)
    rw [same, found] at hy
    cases hy
    rw [blocked] at hb
    injection hb with hb
    injection hb with hb
    exact mem_withoutEffect h.distinct hx hb.symm
  refine ⟨active, ?_⟩
  have bad : ∀ kind detail,
      Asks cx.image (disappoint cx { s with effects := withoutEffect e.number s.effects } e o kind
        detail).session ∧ TakenReady s
      (disappoint cx { s with effects := withoutEffect e.number s.effects } e o kind detail) := by
    intro kind detail
    have := disappoint_asks without active free found blocked asking o kind detail
    exact ⟨this.1, this.2.others, this.2.goesOn⟩
  unfold takeOutcome
  split
  · exact bad _ _
  · split
    · rename_i value _ _ _
      have := succeed_asks without free found asking value
      exact ⟨this.1, this.2.others, this.2.goesOn⟩
    · exact bad _ _

theorem resume_asks {number : Nat} {outcome : Outcome} (h : Asks cx.image s)
    (ok : resume cx s number outcome = .ok t) :
    s.phase = .active ∧ Asks cx.image t.session ∧ TakenReady s t := by
  unfold resume at ok
  split at ok
  · split at ok <;> cases ok
  · rename_i e outstanding
    split at ok
    · cases ok
    · cases ok
      exact takeOutcome_asks h outstanding _ _

theorem expire_asks {number : Nat} (h : Asks cx.image s) (ok : expire cx s number = some t) :
    s.phase = .active ∧ Asks cx.image t.session ∧ TakenReady s t := by
  unfold expire at ok
  split at ok
  · cases ok
  · have h' : Asks cx.image (testify cx s number .timeout).1 :=
      h.kept rfl rfl rfl fun _ _ => rfl
    dsimp only at ok
    split at ok
    · cases ok
    · rename_i taken hr
      cases ok
      obtain ⟨active, asks, ready⟩ := resume_asks h' hr
      exact ⟨active, asks, ready.others, ready.goesOn⟩

end

/-- At any point of its life, every outstanding effect of a session has a coroutine that is blocked
on it at the instruction that issued it. -/
theorem asks_of_lives {i : Loaded} {config : ProtocolMachineConfig} {s : Session} {log : List Event}
    (h : Lives i config s log) : Asks i s := by
  have counted : ∀ (s : Session) es, Asks i s → Asks i (s.counted es) := fun _ _ h =>
    h.kept rfl rfl rfl fun _ _ => rfl
  induction h with
  | opened => exact .over rfl
  | step _ clock who ih => exact counted _ _ (step_asks (cx := ⟨i, config, clock⟩) ih who)
  | outcome _ clock number o ok ih =>
    exact counted _ _ (resume_asks (cx := ⟨i, config, clock⟩) ih ok).2.1
  | expired _ clock number ok ih =>
    exact counted _ _ (expire_asks (cx := ⟨i, config, clock⟩) ih ok).2.1
  | @witness s _ _ number ih =>
    refine counted _ _ ?_
    unfold expireWitness
    split
    · exact ih
    · split
      · exact ih.kept rfl rfl rfl fun _ _ => rfl
      · exact ih
  | cancelled => exact .over rfl

end Antiphon
