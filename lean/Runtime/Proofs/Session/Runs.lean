module

public import Runtime.Proofs.Session.Life

@[expose] public section

/-!
# Inputs, waves and runs

Every kind of action preserves `Good`, so every session of a run has a life.
-/

namespace Antiphon

/-! ## Inputs -/

theorem sameBytes_eq : ∀ {a b : Bytes}, sameBytes a b = true → a = b
  | [], [], _ => rfl
  | x :: xs, y :: ys, h => by
    simp only [sameBytes] at h
    split at h
    · rename_i e
      rw [of_decide_eq_true e, sameBytes_eq h]
    · cases h
  | [], _ :: _, h => by simp [sameBytes] at h
  | _ :: _, [], h => by simp [sameBytes] at h

/-- The row that `imageRow` returns is the position of an image with the digest. -/
theorem imageRow_some {digest : Bytes} {images : List Loaded} {n : Nat} {row : Nat × Loaded}
    (h : imageRow digest n images = some row) :
    n ≤ row.1 ∧ images[row.1 - n]? = some row.2 ∧ row.2.digest = digest := by
  induction images generalizing n with
  | nil => cases h
  | cons i is ih =>
    simp only [imageRow] at h
    split at h
    · rename_i e
      cases h
      exact ⟨Nat.le_refl _, by simp, sameBytes_eq e⟩
    · obtain ⟨hn, hi, hd⟩ := ih h
      refine ⟨by omega, ?_, hd⟩
      have : row.1 - n = (row.1 - (n + 1)) + 1 := by omega
      rw [this, List.getElem?_cons_succ]
      exact hi

section
variable {config : ProtocolMachineConfig} {images : List Loaded} {m : Machine}
  {log : List ObsEvent}

theorem Good.open (h : Good config images m log) {digest owner : Bytes} {a : Accepted}
    (ok : m.open digest owner = .ok a) : Good config images a.machine (log ++ a.events) := by
  unfold Machine.open at ok
  split at ok
  · cases ok
  · rename_i row hrow
    split at ok
    · cases ok
    · split at ok
      · cases ok
      · cases ok
        obtain ⟨_, hi, hd⟩ := imageRow_some hrow
        rw [h.images_eq] at hi
        refine ⟨h.config_eq, h.images_eq, ?_, ?_⟩
        · intro k t ht
          simp only [app_eq, len_eq] at ht ⊢
          rw [logOf_append, logOf_stampFrom]
          rcases Nat.lt_trichotomy k m.sessions.length with lt | eq | gt
          · rw [List.getElem?_append_left lt] at ht
            have : m.sessions.length ≠ k := by omega
            simpa [this] using h.lives k t ht
          · subst eq
            rw [h.fresh _ (Nat.le_refl _)]
            simp only [List.getElem?_concat_length, Option.some.injEq] at ht
            subst ht
            refine ⟨row.2, hi, ?_⟩
            have := Lives.opened (i := row.2) (config := config) m.sessions.length row.1 owner
            rw [hd] at this
            simpa [h.config_eq] using this
          · rw [List.getElem?_eq_none (by simp; omega)] at ht
            cases ht
        · intro k hk
          simp only [app_eq, len_eq, List.length_append, List.length_singleton] at hk ⊢
          rw [logOf_append, logOf_stampFrom, h.fresh k (by omega)]
          have : m.sessions.length ≠ k := by omega
          simp [this]

theorem Good.takeOutcome (h : Good config images m log) {effect : EffectId} {outcome : Outcome}
    {a : Accepted} (ok : m.takeOutcome effect outcome = .ok a) :
    Good config images a.machine (log ++ a.events) := by
  unfold Machine.takeOutcome at ok
  split at ok
  · cases ok
  · rename_i found hf
    obtain ⟨hs, hi⟩ := h.found hf
    split at ok
    · cases ok
    · rename_i taken hr
      cases ok
      unfold Machine.context at hr
      rw [h.config_eq] at hr
      refine h.put _ _ _ hs (i := found.2) (s' := taken.session.counted taken.events) ?_
        ((h.life hs hi).outcome m.clock _ _ hr) rfl rfl (by simp [Machine.put])
      show images[taken.session.image]? = some found.2
      rw [(resume_still hr).1]
      exact hi

theorem Good.effect {x : Expiring} (h : Good config images x.machine (log ++ x.events)) (d : Due) :
    Good config images (x.effect d).machine (log ++ (x.effect d).events) := by
  unfold Expiring.effect
  split
  · exact h
  · rename_i found hf
    obtain ⟨hs, hi⟩ := h.found hf
    split
    · exact h
    · rename_i taken hr
      unfold Machine.context at hr
      rw [h.config_eq] at hr
      simp only [app_eq]
      rw [← List.append_assoc]
      refine h.put _ _ _ hs (i := found.2) (s' := taken.session.counted taken.events) ?_
        ((h.life hs hi).expired x.machine.clock _ hr) rfl rfl (by simp [Machine.put])
      show images[taken.session.image]? = some found.2
      rw [(expire_still hr).1]
      exact hi

theorem Good.witness {x : Expiring} (h : Good config images x.machine (log ++ x.events)) (d : Due) :
    Good config images (x.witness d).machine (log ++ (x.witness d).events) := by
  unfold Expiring.witness
  split
  · exact h
  · rename_i s hs
    rw [getAt_eq] at hs
    obtain ⟨i, hi, life⟩ := h.lives _ _ hs
    simp only [app_eq]
    rw [← List.append_assoc]
    refine h.put _ _ _ hs (i := i)
      (s' := (expireWitness s d.number).1.counted (expireWitness s d.number).2) ?_
      (life.witness d.number) rfl rfl (by simp [Machine.put])
    show images[(expireWitness s d.number).1.image]? = some i
    rw [(expireWitness_still s d.number).1]
    exact hi

theorem Good.effects (ds : List Due) {x : Expiring}
    (h : Good config images x.machine (log ++ x.events)) :
    Good config images (foldL Expiring.effect x ds).machine
      (log ++ (foldL Expiring.effect x ds).events) := by
  induction ds generalizing x with
  | nil => exact h
  | cons d ds ih => exact ih (h.effect d)

theorem Good.witnesses (ds : List Due) {x : Expiring}
    (h : Good config images x.machine (log ++ x.events)) :
    Good config images (foldL Expiring.witness x ds).machine
      (log ++ (foldL Expiring.witness x ds).events) := by
  induction ds generalizing x with
  | nil => exact h
  | cons d ds ih => exact ih (h.witness d)

theorem Good.advance (h : Good config images m log) {ticks : Nat} {a : Accepted}
    (ok : m.advance ticks = .ok a) : Good config images a.machine (log ++ a.events) := by
  unfold Machine.advance at ok
  split at ok
  · cases ok
  · cases ok
    have h' : Good config images { m with clock := m.clock + ticks } (log ++ []) := by
      rw [List.append_nil]
      exact h.same rfl rfl rfl
    exact (Good.effects _ (x := ⟨_, [], 0⟩) h').witnesses _

theorem Good.cancel (h : Good config images m log) {session : Nat} {owner : Bytes} {a : Accepted}
    (ok : m.cancel session owner = .ok a) : Good config images a.machine (log ++ a.events) := by
  unfold Machine.cancel at ok
  split at ok
  · cases ok
  · rename_i s hs
    rw [getAt_eq] at hs
    obtain ⟨i, hi, life⟩ := h.lives _ _ hs
    split at ok
    · cases ok
    · split at ok
      · cases ok
      · rename_i active
        cases ok
        exact h.put _ _ _ hs (i := i)
          (s' := (Antiphon.cancel s).1.counted (Antiphon.cancel s).2) hi
          (life.cancelled active) rfl rfl (by simp [Machine.put])

theorem Good.input (h : Good config images m log) (ingress : Ingress) :
    Good config images (m.input ingress).machine (log ++ (m.input ingress).shown.events) := by
  unfold Machine.input
  split
  · simpa using h
  · rename_i a ok
    cases ingress with
    | «open» digest owner => exact h.open ok
    | outcome effect outcome => exact h.takeOutcome ok
    | advanceClock ticks => exact h.advance ok
    | cancel session owner => exact h.cancel ok

end

/-! ## Waves -/

/-- Committing the steps of a pick keeps the machine good and changes no other session, if the
pick's session is as it was when the worker started. -/
theorem Good.commitAll {config : ProtocolMachineConfig} {images : List Loaded} {r : Run} {n : Nat}
    {s : Session} {i : Loaded} {clock quantum who : Nat} {queue : List Pick}
    (h : Good config images r.machine r.events) (hs : r.machine.sessions[n]? = some s)
    (hi : images[s.image]? = some i) :
    Good config images (r.commitAll (microRun ⟨i, config, clock⟩ n quantum s queue who)).machine
        (r.commitAll (microRun ⟨i, config, clock⟩ n quantum s queue who)).events ∧
      ∀ k, k ≠ n →
        (r.commitAll (microRun ⟨i, config, clock⟩ n quantum s queue who)).machine.sessions[k]? =
          r.machine.sessions[k]? := by
  induction quantum generalizing r s queue who with
  | zero => exact ⟨h, fun _ _ => rfl⟩
  | succ quantum ih =>
    have one := h.commit (who := who) (clock := clock) hs hi
    have others : ∀ k, k ≠ n →
        (r.commit (microStep ⟨i, config, clock⟩ n s who)).machine.sessions[k]? =
          r.machine.sessions[k]? := by
      intro k hk
      simp [Run.commit, microStep, Ne.symm hk]
    simp only [microRun]
    split
    · exact ⟨one, others⟩
    · split
      · exact ⟨one, others⟩
      · simp only [Run.commitAll]
        have hn : n < r.machine.sessions.length := by
          rcases Nat.lt_or_ge n r.machine.sessions.length with h | h
          · exact h
          · simp [List.getElem?_eq_none h] at hs
        have hs' : (r.commit (microStep ⟨i, config, clock⟩ n s who)).machine.sessions[n]? =
            some (microStep ⟨i, config, clock⟩ n s who).session := by
          simp [Run.commit, microStep, hn]
        have hi' : images[(microStep ⟨i, config, clock⟩ n s who).session.image]? = some i := by
          show images[(Antiphon.step ⟨i, config, clock⟩ s who).session.image]? = some i
          rw [(step_moved ..).image_eq]
          exact hi
        obtain ⟨good, same⟩ := ih one hs' hi'
        exact ⟨good, fun k hk => (same k hk).trans (others k hk)⟩

theorem apartFrom_ne {a : WavePick} {bs : List WavePick} (h : apartFrom a bs = true) :
    ∀ b ∈ bs, b.pick.session ≠ a.pick.session := by
  induction bs with
  | nil => simp
  | cons b bs ih =>
    simp only [apartFrom, WavePick.apart, Bool.and_eq_true] at h
    intro x hx
    rcases List.mem_cons.mp hx with e | hx
    · subst e
      intro e
      simp [e] at h
    · exact ih h.2 x hx

/-- Running a wave on the machine before it keeps the run good, if the picks are pairwise apart and
their sessions are as before the wave. -/
theorem Good.waveFrom {config : ProtocolMachineConfig} {images : List Loaded} {before : Machine}
    {r : Run} {ws : List WavePick} (h : Good config images r.machine r.events)
    (hc : before.config = config) (hm : before.images = images) (apart : pairwiseApart ws = true)
    (same : ∀ w ∈ ws,
      r.machine.sessions[w.pick.session]? = before.sessions[w.pick.session]?) :
    Good config images (waveFrom before r ws).machine (waveFrom before r ws).events := by
  induction ws generalizing r with
  | nil => exact h
  | cons w ws ih =>
    simp only [pairwiseApart, Bool.and_eq_true] at apart
    simp only [Antiphon.waveFrom]
    have ne := apartFrom_ne apart.1
    have good : Good config images (r.commitAll (before.runPick w)).machine
        (r.commitAll (before.runPick w)).events ∧ ∀ k, k ≠ w.pick.session →
          (r.commitAll (before.runPick w)).machine.sessions[k]? = r.machine.sessions[k]? := by
      unfold Machine.runPick
      split
      · exact ⟨h, fun _ _ => rfl⟩
      · rename_i found hf
        obtain ⟨hs, hi⟩ := find_some hf
        unfold Machine.context
        rw [hc]
        exact h.commitAll ((same w (List.mem_cons_self ..)).trans hs) (hm ▸ hi)
    refine ih good.1 apart.2 ?_
    intro x hx
    rw [good.2 _ (ne x hx)]
    exact same x (List.mem_cons_of_mem _ hx)

section
variable {config : ProtocolMachineConfig} {images : List Loaded} {m : Machine}
  {log : List ObsEvent}

/-! ## Events that were logged before stay in front -/

/-- A run with more events in front. -/
noncomputable def Run.after (r : Run) (log : List ObsEvent) : Run :=
  { machine := r.machine, events := log ++ r.events }

theorem Run.commit_after (r : Run) (log : List ObsEvent) (μ : Micro) :
    (r.after log).commit μ = (r.commit μ).after log := by
  simp [Run.commit, Run.after]

theorem Run.commitAll_after (r : Run) (log : List ObsEvent) (μs : List Micro) :
    (r.after log).commitAll μs = (r.commitAll μs).after log := by
  induction μs generalizing r with
  | nil => rfl
  | cons μ μs ih => simp only [Run.commitAll, Run.commit_after, ih]

theorem waveFrom_after (before : Machine) (r : Run) (log : List ObsEvent) (ws : List WavePick) :
    Antiphon.waveFrom before (r.after log) ws = (Antiphon.waveFrom before r ws).after log := by
  induction ws generalizing r with
  | nil => rfl
  | cons w ws ih => simp only [Antiphon.waveFrom, Run.commitAll_after, ih]

theorem Good.roundWith (h : Good config images m log) (c : WaveCertificate) :
    Good config images (m.roundWith c).machine (log ++ (m.roundWith c).shown.events) := by
  unfold Machine.roundWith
  split
  · rename_i checked
    simp only [Machine.checkWave, Bool.and_eq_true] at checked
    have := Good.waveFrom (before := m) (r := Run.after ⟨m, []⟩ log) (ws := c.picks)
      (by simpa [Run.after] using h) h.config_eq h.images_eq checked.2 (fun _ _ => rfl)
    rw [waveFrom_after] at this
    exact this
  · have := h.schedRoundOne
    dsimp only
    split <;> exact this

theorem Good.schedRoundThreaded (h : Good config images m log) (width quantum : Nat) :
    Good config images (m.schedRoundThreaded width quantum).machine
      (log ++ (m.schedRoundThreaded width quantum).shown.events) := by
  unfold Machine.schedRoundThreaded
  split
  · simpa using h
  · split
    · exact h.schedRoundOne
    · exact h.roundWith _

theorem Good.act (h : Good config images m log) (a : Action) :
    Good config images (m.act a).machine (log ++ (m.act a).shown.events) := by
  cases a with
  | turn => exact h.schedRoundOne
  | input ingress => exact h.input ingress
  | pick p => exact h.pickTurn p
  | round width quantum => exact h.schedRoundThreaded width quantum
  | wave certificate => exact h.roundWith certificate

end

/-! ## Runs -/

theorem Good.actAll {config : ProtocolMachineConfig} {images : List Loaded} {r : Run}
    (h : Good config images r.machine r.events) (as : List Action) :
    Good config images (r.actAll as).machine (r.actAll as).events := by
  induction as generalizing r with
  | nil => exact h
  | cons a as ih =>
    simp only [Run.actAll, app_eq]
    exact ih (h.act a)

/-- The run of a list of actions on a machine without sessions. -/
def runOf (config : ProtocolMachineConfig) (images : List Loaded) (as : List Action) : Run :=
  Run.actAll { machine := Machine.new config images, events := [] } as

/-- The machine and the log of every run are good. -/
theorem good_run (config : ProtocolMachineConfig) (images : List Loaded) (as : List Action) :
    Good config images (runOf config images as).machine (runOf config images as).events :=
  Good.actAll (r := ⟨_, _⟩) (Good.new config images) as

/-- Every session of a run has a life, whose events are its part of the log. -/
theorem lives_of_run {config : ProtocolMachineConfig} {images : List Loaded} {as : List Action}
    {n : Nat} {s : Session} (hs : (runOf config images as).machine.sessions[n]? = some s) :
    ∃ i, images[s.image]? = some i ∧
      Lives i config s (logOf n (runOf config images as).events) :=
  (good_run config images as).lives n s hs

end Antiphon
