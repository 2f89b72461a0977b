module

public import Runtime.Proofs.Scheduler.Ready
public import Runtime.Proofs.Scheduler.Policy

@[expose] public noncomputable section

/-!
# The scheduler

The coroutine that the policy picks is ready, and round robin skips no coroutine: a coroutine at
position `k` of the queue is picked after at most `k` rounds, unless its session ends first.
-/

namespace Antiphon

/-! ## The queue after a step -/

/-- The queue after the woken coroutine has entered at the back. -/
def wokenInto (queue : List Pick) (μ : Micro) : List Pick :=
  match μ.woken with
  | some w => enqueue queue μ.pick.session w
  | none => queue

/-- The queue after the coroutine that stepped has kept its place, moved to the back or left. -/
def movedIn (policy : SchedulingPolicy) (queue : List Pick) (μ : Micro) : List Pick :=
  match μ.step with
  | .ran => match policy with
    | .cooperative => queue
    | _ => app (unqueue queue μ.pick) [μ.pick]
  | .yielded => app (unqueue queue μ.pick) [μ.pick]
  | _ => unqueue queue μ.pick

theorem settle_eq (policy : SchedulingPolicy) (queue : List Pick) (μ : Micro) :
    settle policy queue μ = match μ.session.phase with
      | .active => movedIn policy (wokenInto queue μ) μ
      | .terminal _ => dropSession μ.pick.session (movedIn policy (wokenInto queue μ) μ) := rfl

theorem mem_unqueue {p x : Pick} {queue : List Pick} : p ∈ unqueue queue x ↔ p ∈ queue ∧ p ≠ x := by
  simp only [unqueue, keep_eq, List.mem_filter, Bool.not_eq_true', ← Bool.not_eq_true, samePick_iff]

theorem mem_wokenInto {p : Pick} {queue : List Pick} {μ : Micro} (h : p ∈ wokenInto queue μ) :
    p ∈ queue ∨ (μ.woken = some p.coroutine ∧ p.session = μ.pick.session) := by
  unfold wokenInto at h
  split at h
  · rename_i w hw
    simp only [enqueue, app_eq, List.mem_append, List.mem_singleton] at h
    rcases h with h | h
    · exact .inl h
    · rw [h]; exact .inr ⟨hw, rfl⟩
  · exact .inl h

theorem mem_movedIn {policy : SchedulingPolicy} {p : Pick} {queue : List Pick} {μ : Micro}
    (h : p ∈ movedIn policy queue μ) :
    (p ∈ queue ∧ p ≠ μ.pick) ∨ (p = μ.pick ∧ (μ.step = .ran ∨ μ.step = .yielded)) := by
  by_cases hp : p = μ.pick
  · right
    refine ⟨hp, ?_⟩
    unfold movedIn at h
    split at h
    · exact .inl ‹_›
    · exact .inr ‹_›
    · exact absurd hp (mem_unqueue.1 h).2
  · left
    refine ⟨?_, hp⟩
    have toBack : p ∈ app (unqueue queue μ.pick) [μ.pick] → p ∈ queue := by
      intro h
      simp only [app_eq, List.mem_append, List.mem_singleton] at h
      exact h.elim (fun h => (mem_unqueue.1 h).1) (absurd · hp)
    unfold movedIn at h
    split at h
    · split at h
      · exact h
      · exact toBack h
    · exact toBack h
    · exact (mem_unqueue.1 h).1

/-- A coroutine in the queue after a step was in it before and did not step, or was woken, or
stepped and can continue; a coroutine of the session that stepped is in it only if the session is
active. -/
theorem mem_settle {policy : SchedulingPolicy} {p : Pick} {queue : List Pick} {μ : Micro}
    (h : p ∈ settle policy queue μ) :
    (p.session = μ.pick.session → μ.session.phase = .active) ∧
      ((p ∈ queue ∧ p ≠ μ.pick) ∨ (μ.woken = some p.coroutine ∧ p.session = μ.pick.session) ∨
        (p = μ.pick ∧ (μ.step = .ran ∨ μ.step = .yielded))) := by
  have inner : p ∈ movedIn policy (wokenInto queue μ) μ ∧
      (p.session = μ.pick.session → μ.session.phase = .active) := by
    rw [settle_eq] at h
    split at h
    · exact ⟨h, fun _ => ‹_›⟩
    · have := mem_dropSession.1 h
      exact ⟨this.1, fun e => absurd e this.2⟩
  refine ⟨inner.2, ?_⟩
  rcases mem_movedIn inner.1 with ⟨h1, h2⟩ | h
  · rcases mem_wokenInto h1 with h | h
    · exact .inl ⟨h, h2⟩
    · exact .inr (.inl h)
  · exact .inr (.inr h)

/-! ## Every coroutine in the queue is ready -/

/-- The coroutine is ready and its session is active. -/
def Machine.CanStep (m : Machine) (p : Pick) : Prop :=
  ∃ s i, m.find p.session = some (s, i) ∧ s.phase = .active ∧ ReadyAt s.coroutines p.coroutine

/-- Every coroutine in the ready queue can step. -/
def Machine.QueueReady (m : Machine) : Prop := ∀ p, p ∈ m.queue → m.CanStep p

/-- A machine without sessions satisfies `QueueReady`, because its queue is empty. -/
theorem Machine.QueueReady.new (config : ProtocolMachineConfig) (images : List Loaded) :
    (Machine.new config images).QueueReady := by
  intro p h
  simp [Machine.new] at h

/-- A turn of any coroutine preserves `QueueReady`. -/
theorem Machine.QueueReady.turnOf {m : Machine} (h : m.QueueReady) (p : Pick) :
    (m.turnOf p).machine.QueueReady := by
  cases hf : m.find p.session with
  | none => simpa only [Machine.turnOf, Machine.micro, hf] using h
  | some found =>
    obtain ⟨s, i⟩ := found
    simp only [Machine.turnOf, Machine.micro, hf]
    intro q hq
    have ⟨active, how⟩ := mem_settle hq
    have ready := step_ready (m.context i) s p.coroutine
    by_cases same : q.session = p.session
    · have active := active same
      refine ⟨_, _, find_commit_self (r := { machine := m, events := [] }) (by rw [same]; exact hf)
        same.symm (microStep_image _ _ _ _), active, ?_⟩
      rcases how with ⟨h1, h2⟩ | ⟨h1, _⟩ | ⟨h1, h2⟩
      · obtain ⟨s', i', hf', _, hr⟩ := h q h1
        rw [same, hf] at hf'
        cases hf'
        refine ready.others active _ (fun e => h2 ?_) hr
        cases q with | mk a b =>
        cases p with | mk c d =>
        simp only at same e
        rw [same, e]
        rfl
      · exact ready.woken _ h1
      · have : q = p := h1
        rw [this]
        exact ready.goesOn h2
    · rcases how with ⟨h1, _⟩ | ⟨_, h2⟩ | ⟨h1, _⟩
      · obtain ⟨s', i', hf', hrest⟩ := h q h1
        refine ⟨s', i', ?_, hrest⟩
        rw [find_commit_ne (fun e => same e.symm)]
        exact hf'
      · exact absurd h2 same
      · exact absurd (congrArg Pick.session h1) same

/-- A canonical turn preserves `QueueReady`. -/
theorem Machine.QueueReady.round {m : Machine} (h : m.QueueReady) : m.schedRoundOne.machine.QueueReady := by
  unfold Machine.schedRoundOne
  split
  · exact h
  · exact h.turnOf _

/-- A pick preserves `QueueReady`. -/
theorem Machine.QueueReady.pickTurn {m : Machine} (h : m.QueueReady) (p : Pick) :
    (m.pickTurn p).machine.QueueReady := by
  unfold Machine.pickTurn
  split
  · exact h.turnOf _
  · exact h

theorem Machine.QueueReady.turns {r : Run} (h : r.machine.QueueReady) (ps : List Pick) :
    (r.turns ps).machine.QueueReady := by
  induction ps generalizing r with
  | nil => exact h
  | cons p ps ih => exact ih (h.pickTurn p)

/-- A round with any certificate, accepted or not, preserves `QueueReady`. -/
theorem Machine.QueueReady.roundWith {m : Machine} (h : m.QueueReady) (c : WaveCertificate) :
    (m.roundWith c).machine.QueueReady := by
  cases check : m.checkWave c with
  | true =>
    have : (m.roundWith c).machine =
        (waveFrom m { machine := m, events := [] } c.picks).machine := by
      simp only [Machine.roundWith, check, Machine.wave]
    rw [this, (wave_is_its_turns m c check).1]
    exact Machine.QueueReady.turns (r := { machine := m, events := [] }) h _
  | false =>
    rw [(invalid_wave_is_one_step m c check).1]
    exact h.round

/-- A round of the threaded runner preserves `QueueReady`. -/
theorem Machine.QueueReady.threaded {m : Machine} (h : m.QueueReady) (width quantum : Nat) :
    (m.schedRoundThreaded width quantum).machine.QueueReady := by
  unfold Machine.schedRoundThreaded
  split
  · exact h
  · split
    · exact h.round
    · exact h.roundWith _

/-- The coroutine that the policy picks is in the ready queue, and if every coroutine in the queue
is ready, it is a ready coroutine of an active session. -/
theorem pick_is_ready {m : Machine} {p : Pick} (h : m.policyPick = some p) :
    p ∈ m.queue ∧ (m.QueueReady → m.CanStep p) :=
  ⟨best_mem h, fun ready => ready p (best_mem h)⟩

/-! ## Round robin -/

/-- The session has ended. -/
def Machine.HasEnded (m : Machine) (session : Nat) : Prop :=
  ∃ s how, m.sessions[session]? = some s ∧ s.phase = .terminal how

/-- The machine after a number of canonical turns does not depend on the log before them. -/
theorem runScheduled_machine (r r' : Run) (h : r.machine = r'.machine) (rounds : Nat) :
    (r.runScheduled rounds).machine = (r'.runScheduled rounds).machine := by
  induction rounds generalizing r r' with
  | zero => exact h
  | succ rounds ih => exact ih _ _ (by simp only [h])

/-- Under round robin, the policy picks the head of the queue if every coroutine in the queue is
ready. -/
theorem round_robin_head {m : Machine} (policy : m.config.policy = .roundRobin)
    (ready : m.QueueReady) {p : Pick} {rest : List Pick} (head : m.queue = p :: rest) :
    m.policyPick = some p := by
  have zero : ∀ q, q ∈ m.queue → m.rank q = 0 := by
    intro q hq
    obtain ⟨s, i, hf, _⟩ := ready q hq
    simp [Machine.rank, hf, rankIn, policy]
  refine best_iff.2 ⟨[], rest, head, nofun, fun q hq => ?_⟩
  rw [zero p (by rw [head]; exact List.mem_cons_self)]
  exact Nat.zero_le _

/-- After a step of the head under round robin, a coroutine behind it is nearer to the head,
provided that the stepped session is still active or is another session. -/
theorem settle_nearer {μ : Micro} {before after : List Pick} {p : Pick} (other : p ≠ μ.pick)
    (goesOn : μ.session.phase = .active ∨ p.session ≠ μ.pick.session) :
    ∃ before' after', settle .roundRobin (μ.pick :: before ++ p :: after) μ =
      before' ++ p :: after' ∧ before'.length ≤ before.length := by
  have unqueued : ∀ tail, ∃ tail', unqueue (μ.pick :: before ++ p :: after ++ tail) μ.pick =
      unqueue before μ.pick ++ p :: tail' := by
    intro tail
    have h1 : samePick p μ.pick = false := by
      rw [← Bool.not_eq_true, samePick_iff]; exact other
    exact ⟨unqueue (after ++ tail) μ.pick, by simp [unqueue, h1]⟩
  have woken : ∃ tail, wokenInto (μ.pick :: before ++ p :: after) μ =
      μ.pick :: before ++ p :: after ++ tail := by
    unfold wokenInto
    split
    · rename_i w _; exact ⟨[{ session := μ.pick.session, coroutine := w }], by simp [enqueue]⟩
    · exact ⟨[], by simp⟩
  have moved : ∃ tail, movedIn .roundRobin (wokenInto (μ.pick :: before ++ p :: after) μ) μ =
      unqueue before μ.pick ++ p :: tail := by
    obtain ⟨tail, hw⟩ := woken
    obtain ⟨tail', hu⟩ := unqueued tail
    unfold movedIn
    rw [hw, hu]
    split
    · exact ⟨tail' ++ [μ.pick], by simp⟩
    · exact ⟨tail' ++ [μ.pick], by simp⟩
    · exact ⟨tail', rfl⟩
  have shorter : (unqueue before μ.pick).length ≤ before.length := by
    simp only [unqueue, keep_eq]
    exact List.length_filter_le _ _
  obtain ⟨tail, hm⟩ := moved
  rw [settle_eq, hm]
  split
  · exact ⟨_, _, rfl, shorter⟩
  · rename_i how over
    have stays : p.session ≠ μ.pick.session := by
      rcases goesOn with h | h
      · rw [over] at h; cases h
      · exact h
    refine ⟨dropSession μ.pick.session (unqueue before μ.pick),
      dropSession μ.pick.session tail, ?_, ?_⟩
    · simp [dropSession, beq_false_iff.2 stays]
    · refine Nat.le_trans ?_ shorter
      simp only [dropSession, keep_eq]
      exact List.length_filter_le _ _

/-- The machine after a canonical turn is the commit of the step of the policy's pick. -/
theorem round_of_head {m : Machine} {p : Pick} {s : Session} {i : Loaded}
    (pick : m.policyPick = some p) (found : m.find p.session = some (s, i)) :
    m.schedRoundOne.machine = (Run.commit { machine := m, events := [] }
      (microStep (m.context i) p.session s p.coroutine)).machine := by
  simp only [Machine.schedRoundOne, pick, Machine.turnOf, Machine.micro, found]

/-- Under round robin, if every coroutine in the queue is ready, a coroutine that has `k` others
before it in the queue is picked by the policy after at most `k` canonical turns, unless its session
has ended by then. -/
theorem round_robin_serves {m : Machine} (policy : m.config.policy = .roundRobin)
    (ready : m.QueueReady) {k : Nat} {p : Pick} (queued : m.queue[k]? = some p) :
    ∃ j, j ≤ k ∧
      let after := (Run.runScheduled { machine := m, events := [] } j).machine
      after.policyPick = some p ∨ after.HasEnded p.session := by
  suffices h : ∀ k (m : Machine) before after, m.config.policy = .roundRobin → m.QueueReady →
      m.queue = before ++ p :: after → before.length ≤ k → ∃ j, j ≤ k ∧
        ((Run.runScheduled { machine := m, events := [] } j).machine.policyPick = some p ∨
          (Run.runScheduled { machine := m, events := [] } j).machine.HasEnded p.session) by
    have lt := (List.getElem?_eq_some_iff.1 queued).1
    have e := (List.getElem?_eq_some_iff.1 queued).2
    refine h k m (m.queue.take k) (m.queue.drop (k + 1)) policy ready ?_
      (by rw [List.length_take]; omega)
    rw [← e, List.getElem_cons_drop, List.take_append_drop]
  intro k
  induction k with
  | zero =>
    intro m before after policy ready queue short
    have : before = [] := List.eq_nil_of_length_eq_zero (by omega)
    subst this
    exact ⟨0, Nat.le_refl _, .inl (round_robin_head policy ready queue)⟩
  | succ k ih =>
    intro m before after policy ready queue short
    cases before with
    | nil => exact ⟨0, Nat.zero_le _, .inl (round_robin_head policy ready queue)⟩
    | cons x before =>
      have pick := round_robin_head policy ready queue
      by_cases same : p = x
      · exact ⟨0, Nat.zero_le _, .inl (same ▸ pick)⟩
      · obtain ⟨s, i, found, active, _⟩ := ready x (by rw [queue]; simp)
        have round := round_of_head pick found
        have later : ∀ j, (Run.runScheduled { machine := m, events := [] } (j + 1)).machine =
            (Run.runScheduled { machine := m.schedRoundOne.machine, events := [] } j).machine :=
          fun j => runScheduled_machine
            { machine := m.schedRoundOne.machine, events := app [] m.schedRoundOne.shown.events }
            { machine := m.schedRoundOne.machine, events := [] } rfl j
        by_cases goesOn : (microStep (m.context i) x.session s x.coroutine).session.phase = .active ∨
            p.session ≠ x.session
        · obtain ⟨before', after', queue', short'⟩ :=
            settle_nearer (μ := microStep (m.context i) x.session s x.coroutine)
              (before := before) (after := after) same goesOn
          obtain ⟨j, le, h⟩ := ih m.schedRoundOne.machine before' after' (by rw [round]; exact policy)
            ready.round (by
              rw [round, ← queue']
              show settle m.config.policy m.queue _ = _
              rw [policy, queue]
              rfl) (by simp only [List.length_cons] at short; omega)
          exact ⟨j + 1, by omega, by rw [later]; exact h⟩
        · have ended : (microStep (m.context i) x.session s x.coroutine).session.phase ≠ .active :=
            fun h => goesOn (.inl h)
          have ofX : p.session = x.session := Decidable.byContradiction fun h => goesOn (.inr h)
          refine ⟨1, by omega, .inr ?_⟩
          rw [later 0]
          show m.schedRoundOne.machine.HasEnded p.session
          rw [round, ofX]
          have found' := find_commit_self (r := { machine := m, events := [] })
            (μ := microStep (m.context i) x.session s x.coroutine) found rfl
            (microStep_image _ _ _ _)
          cases hp : (microStep (m.context i) x.session s x.coroutine).session.phase with
          | active => exact absurd hp ended
          | terminal how =>
            refine ⟨_, how, ?_, hp⟩
            simp only [Machine.find, getAt_eq] at found'
            split at found'
            · cases found'
            · rename_i s' hs
              split at found'
              · cases found'
              · injection found' with found'
                injection found' with h1 _
                rw [← h1]
                exact hs

end Antiphon
