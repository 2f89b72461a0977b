module

public import Runtime.Proofs.Scheduler
public import Runtime.Proofs.Scheduler.Asks

@[expose] public noncomputable section

/-!
# In every run, every coroutine in the ready queue is ready

`Proofs/Scheduler.lean` shows that turns, rounds and waves preserve this. Here the same is shown of
inputs: a coroutine that an outcome adds to the queue is ready, the coroutines of a session that has
ended leave the queue, and the coroutines of a new session are ready.
-/

namespace Antiphon

/-- After a session is replaced by one with the same image, the machine finds the new one. -/
theorem find_set_self {m m' : Machine} {n : Nat} {s s' : Session} {i : Loaded}
    (found : m.find n = some (s, i)) (image : s'.image = s.image)
    (sessions : m'.sessions = m.sessions.set n s') (images : m'.images = m.images) :
    m'.find n = some (s', i) := by
  obtain ⟨hs, hi⟩ := find_some found
  have lt := (List.getElem?_eq_some_iff.1 hs).1
  simp only at hi
  simp [Machine.find, sessions, images, lt, image, hi]

theorem Machine.CanStep.set_ne {m m' : Machine} {n : Nat} {s' : Session} {p : Pick} (h : m.CanStep p)
    (ne : p.session ≠ n) (sessions : m'.sessions = m.sessions.set n s')
    (images : m'.images = m.images) : m'.CanStep p := by
  obtain ⟨s, i, found, rest⟩ := h
  refine ⟨s, i, ?_, rest⟩
  rw [← found]
  simp [Machine.find, sessions, images, List.getElem?_set_ne (Ne.symm ne)]

/-- If an outcome satisfies `TakenReady`, every coroutine in the queue after it can step. -/
theorem Machine.QueueReady.resumed {m m' : Machine} {n : Nat} {s : Session} {i : Loaded} {t : Taken}
    {es : List Event} (h : m.QueueReady) (found : m.find n = some (s, i)) (active : s.phase = .active)
    (ready : TakenReady s t) (image : t.session.image = s.image)
    (sessions : m'.sessions = m.sessions.set n (t.session.counted es))
    (images : m'.images = m.images) (queue : m'.queue = settleResumed m.queue n t.resumed) :
    m'.QueueReady := by
  have self := find_set_self (s' := t.session.counted es) found image sessions images
  have stays : (∀ f, t.resumed ≠ .faulted f) → ∀ p, p ∈ m.queue → m'.CanStep p := by
    intro goesOn p hp
    by_cases same : p.session = n
    · obtain ⟨phase, others⟩ := ready.others goesOn
      obtain ⟨s', i', found', _, hr⟩ := h p hp
      rw [same, found] at found'
      cases found'
      exact ⟨t.session.counted es, i, same ▸ self, phase.trans active, others _ hr⟩
    · exact (h p hp).set_ne same sessions images
  intro p hp
  rw [queue] at hp
  cases hr : t.resumed with
  | ready k =>
    rw [hr] at hp
    have goesOn : ∀ f, t.resumed ≠ .faulted f := fun f e => by rw [hr] at e; cases e
    simp only [settleResumed, enqueue, app_eq, List.mem_append, List.mem_singleton] at hp
    rcases hp with hp | rfl
    · exact stays goesOn p hp
    · exact ⟨t.session.counted es, i, self, (ready.others goesOn).1.trans active, ready.goesOn k hr⟩
  | reissued k =>
    rw [hr] at hp
    exact stays (fun f e => by rw [hr] at e; cases e) p hp
  | faulted f =>
    rw [hr] at hp
    obtain ⟨hp, ne⟩ := mem_dropSession.1 hp
    exact (h p hp).set_ne ne sessions images

/-! ## Inputs -/

theorem mem_newPicks {p : Pick} {session n count : Nat} (h : p ∈ newPicks session n count) :
    p.session = session ∧ p.coroutine < n + count := by
  induction count generalizing n with
  | zero => cases h
  | succ count ih =>
    simp only [newPicks, List.mem_cons] at h
    rcases h with rfl | h
    · exact ⟨rfl, by simp only; omega⟩
    · have := ih h
      exact ⟨this.1, by omega⟩

theorem roleCoroutines_ready {image : CodeImage} {config : ProtocolMachineConfig} {n : Nat}
    {roles : List Role} : ∀ c, c ∈ roleCoroutines image config n roles → c.status = .ready := by
  induction roles generalizing n with
  | nil => simp [roleCoroutines]
  | cons role roles ih =>
    intro c hc
    simp only [roleCoroutines, List.mem_cons] at hc
    rcases hc with rfl | hc
    · rfl
    · exact ih c hc

section
variable {config : ProtocolMachineConfig} {images : List Loaded} {m : Machine} {log : List ObsEvent}

theorem Machine.QueueReady.open (h : m.QueueReady) {digest owner : Bytes} {a : Accepted}
    (ok : m.open digest owner = .ok a) : a.machine.QueueReady := by
  unfold Machine.open at ok
  split at ok
  · cases ok
  · rename_i row hrow
    split at ok
    · cases ok
    · split at ok
      · cases ok
      · cases ok
        have hi : m.images[row.1]? = some row.2 := by simpa using (imageRow_some hrow).2.1
        intro p hp
        simp only [app_eq, len_eq, List.mem_append] at hp
        rcases hp with hp | hp
        · obtain ⟨s, i, found, rest⟩ := h p hp
          obtain ⟨hs, hi⟩ := find_some found
          have lt := (List.getElem?_eq_some_iff.1 hs).1
          simp only at hs hi
          exact ⟨s, i, by simp [Machine.find, List.getElem?_append_left lt, hs, hi], rest⟩
        · obtain ⟨of, lt⟩ := mem_newPicks hp
          rw [Nat.zero_add] at lt
          refine ⟨(Session.start row.2 m.config m.sessions.length row.1 owner).counted
            [.opened digest owner], row.2, ?_, rfl, _, List.getElem?_eq_getElem lt,
            roleCoroutines_ready _ (List.getElem_mem lt)⟩
          simp [Machine.find, of, Session.counted, Session.start, hi]

theorem Machine.QueueReady.takeOutcome (h : m.QueueReady) (good : Good config images m log)
    {effect : EffectId} {outcome : Outcome} {a : Accepted}
    (ok : m.takeOutcome effect outcome = .ok a) : a.machine.QueueReady := by
  unfold Machine.takeOutcome at ok
  split at ok
  · cases ok
  · rename_i found hf
    obtain ⟨hs, hi⟩ := good.found hf
    split at ok
    · cases ok
    · rename_i taken hr
      cases ok
      obtain ⟨active, _, ready⟩ := resume_asks (asks_of_lives (good.life hs hi)) hr
      exact h.resumed (es := taken.events) hf active ready (resume_still hr).1 (by simp [Machine.put])
        rfl rfl

theorem Machine.QueueReady.effect {x : Expiring} (h : x.machine.QueueReady)
    (good : Good config images x.machine (log ++ x.events)) (d : Due) :
    (x.effect d).machine.QueueReady := by
  unfold Expiring.effect
  split
  · exact h
  · rename_i found hf
    obtain ⟨hs, hi⟩ := good.found hf
    split
    · exact h
    · rename_i taken hr
      obtain ⟨active, _, ready⟩ := expire_asks (asks_of_lives (good.life hs hi)) hr
      exact h.resumed (es := taken.events) hf active ready (expire_still hr).1 (by simp [Machine.put])
        rfl rfl

theorem expireWitness_same (s : Session) (number : Nat) :
    (expireWitness s number).1.phase = s.phase ∧ (expireWitness s number).1.image = s.image ∧
      (expireWitness s number).1.coroutines = s.coroutines := by
  unfold expireWitness
  split
  · exact ⟨rfl, rfl, rfl⟩
  · split <;> exact ⟨rfl, rfl, rfl⟩

theorem Machine.QueueReady.witness {x : Expiring} (h : x.machine.QueueReady) (d : Due) :
    (x.witness d).machine.QueueReady := by
  unfold Expiring.witness
  split
  · exact h
  · rename_i s hs
    rw [getAt_eq] at hs
    obtain ⟨phase, image, coroutines⟩ := expireWitness_same s d.number
    intro p hp
    by_cases same : p.session = d.session
    · obtain ⟨s', i, found, active, k, hk, hr⟩ := h p hp
      rw [same] at found
      have : s' = s := Option.some.inj ((find_some found).1.symm.trans hs)
      subst this
      refine ⟨(expireWitness s' d.number).1.counted (expireWitness s' d.number).2, i, ?_,
        phase.trans active, k, ?_, hr⟩
      · rw [same]
        exact find_set_self found image (by simp [Machine.put]) rfl
      · show (expireWitness s' d.number).1.coroutines[p.coroutine]? = some k
        rw [coroutines]
        exact hk
    · exact (h p hp).set_ne same
        (s' := (expireWitness s d.number).1.counted (expireWitness s d.number).2)
        (by simp [Machine.put]) rfl

theorem Machine.QueueReady.effects (ds : List Due) {x : Expiring} (h : x.machine.QueueReady)
    (good : Good config images x.machine (log ++ x.events)) :
    (foldL Expiring.effect x ds).machine.QueueReady := by
  induction ds generalizing x with
  | nil => exact h
  | cons d ds ih => exact ih (h.effect good d) (good.effect d)

theorem Machine.QueueReady.witnesses (ds : List Due) {x : Expiring} (h : x.machine.QueueReady) :
    (foldL Expiring.witness x ds).machine.QueueReady := by
  induction ds generalizing x with
  | nil => exact h
  | cons d ds ih => exact ih (h.witness d)

theorem Machine.QueueReady.cancel (h : m.QueueReady) {session : Nat} {owner : Bytes} {a : Accepted}
    (ok : m.cancel session owner = .ok a) : a.machine.QueueReady := by
  unfold Machine.cancel at ok
  split at ok
  · cases ok
  · rename_i s _
    split at ok
    · cases ok
    · split at ok
      · cases ok
      · cases ok
        intro p hp
        obtain ⟨hp, ne⟩ := mem_dropSession.1 hp
        exact (h p hp).set_ne ne
          (s' := (Antiphon.cancel s).1.counted (Antiphon.cancel s).2) (by simp [Machine.put]) rfl

/-- An input preserves `QueueReady`. -/
theorem Machine.QueueReady.input (h : m.QueueReady) (good : Good config images m log)
    (ingress : Ingress) : (m.input ingress).machine.QueueReady := by
  unfold Machine.input
  split
  · exact h
  · rename_i a ok
    cases ingress with
    | «open» digest owner => exact h.open ok
    | outcome effect outcome => exact h.takeOutcome good ok
    | advanceClock ticks =>
      simp only [Machine.ingress, Machine.advance] at ok
      split at ok
      · cases ok
      · cases ok
        have good' : Good config images { m with clock := m.clock + ticks } (log ++ []) := by
          rw [List.append_nil]
          exact good.same rfl rfl rfl
        have h' : ({ m with clock := m.clock + ticks } : Machine).QueueReady := h
        exact Machine.QueueReady.witnesses _
          (Machine.QueueReady.effects _ (x := ⟨_, [], 0⟩) h' good')
    | cancel session owner => exact h.cancel ok

/-- Every action preserves `QueueReady`. -/
theorem Machine.QueueReady.act (h : m.QueueReady) (good : Good config images m log) (a : Action) :
    (m.act a).machine.QueueReady := by
  cases a with
  | turn => exact h.round
  | input ingress => exact h.input good ingress
  | pick p => exact h.pickTurn p
  | round width quantum => exact h.threaded width quantum
  | wave certificate => exact h.roundWith certificate

end

/-- In every run, every coroutine in the ready queue is a ready coroutine of an active session. -/
theorem queue_ready_of_run (config : ProtocolMachineConfig) (images : List Loaded)
    (as : List Action) : (runOf config images as).machine.QueueReady := by
  suffices all : ∀ (r : Run) (as : List Action), r.machine.QueueReady →
      Good config images r.machine r.events → (r.actAll as).machine.QueueReady from
    all ⟨_, _⟩ as (Machine.QueueReady.new config images) (Good.new config images)
  intro r as
  induction as generalizing r with
  | nil => exact fun h _ => h
  | cons a as ih =>
    intro h good
    refine ih _ (h.act good a) ?_
    simpa only [app_eq] using good.act a

end Antiphon
