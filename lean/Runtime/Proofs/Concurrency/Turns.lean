module

public import Runtime.Proofs.Concurrency
public import Runtime.Proofs.Concurrency.Plan
public import Runtime.Proofs.Step.Kept

@[expose] public noncomputable section

/-!
# A certified wave is a list of turns

The steps of a wave, with any quanta, are turns of single coroutines, one after another. Within a
session's quantum, the coroutine that steps next is the one that the policy picks in that session at
that moment. So a machine that knows only turns can run a wave by the list of its steps.
-/

namespace Antiphon

/-- A run after one turn of each coroutine of a list; a coroutine that is not in the queue at its
turn does not step. -/
def Run.turns (r : Run) : List Pick → Run
  | [] => r
  | p :: ps =>
    Run.turns
      { machine := (r.machine.pickTurn p).machine
        events := app r.events (r.machine.pickTurn p).shown.events } ps

/-- Each coroutine of the list is, at its turn, the one that the policy picks among the ready
coroutines of its session. -/
def Run.allWanted (r : Run) : List Pick → Prop
  | [] => True
  | p :: ps => r.machine.bestOf p.session = some p ∧
    Run.allWanted
      { machine := (r.machine.pickTurn p).machine
        events := app r.events (r.machine.pickTurn p).shown.events } ps

theorem turns_append (r : Run) (ps qs : List Pick) :
    r.turns (ps ++ qs) = (r.turns ps).turns qs := by
  induction ps generalizing r with
  | nil => rfl
  | cons p ps ih => simp only [List.cons_append, Run.turns, ih]

theorem allWanted_append {r : Run} {ps qs : List Pick} :
    r.allWanted (ps ++ qs) ↔ r.allWanted ps ∧ (r.turns ps).allWanted qs := by
  induction ps generalizing r with
  | nil => simp [Run.allWanted, Run.turns]
  | cons p ps ih => simp only [List.cons_append, Run.allWanted, Run.turns, ih, and_assoc]

/-- The coroutine that the policy picks in a session is in the queue and belongs to that session. -/
theorem bestOf_mem {m : Machine} {session : Nat} {p : Pick} (h : m.bestOf session = some p) :
    p ∈ m.queue ∧ p.session = session := by
  simp only [Machine.bestOf, keep_eq] at h
  exact mem_partOf.1 (best_mem h)

/-- `best` depends only on the ranks of the picks in the queue. -/
theorem best_congr {rank rank' : Pick → Nat} {queue : List Pick}
    (h : ∀ p, p ∈ queue → rank p = rank' p) : best rank queue = best rank' queue := by
  induction queue with
  | nil => rfl
  | cons x xs ih =>
    have ih := ih fun p hp => h p (List.mem_cons_of_mem _ hp)
    simp only [best, ih]
    cases hq : best rank' xs with
    | none => rfl
    | some q => simp only [h x List.mem_cons_self, h q (List.mem_cons_of_mem _ (best_mem hq))]

/-- Settling the queue after a session's step changes the session's part as if the queue were only
that part. -/
theorem partOf_settle_self {i : Nat} {μ : Micro} (h : μ.pick.session = i)
    (policy : SchedulingPolicy) (queue : List Pick) :
    partOf i (settle policy queue μ) = settle policy (partOf i queue) μ := by
  have single : partOf i [μ.pick] = [μ.pick] := by simp [partOf, h]
  have woken : ∀ w, partOf i (enqueue queue μ.pick.session w) =
      enqueue (partOf i queue) μ.pick.session w := by
    intro w; simp [partOf, enqueue, h]
  have append : ∀ a b, partOf i (app a b) = app (partOf i a) (partOf i b) := by
    intro a b; simp [partOf]
  have out : ∀ q, partOf i (unqueue q μ.pick) = unqueue (partOf i q) μ.pick := by
    intro q
    simp only [partOf, unqueue, keep_eq, List.filter_filter]
    apply List.filter_congr
    intro x _
    exact Bool.and_comm _ _
  have drop : ∀ q, partOf i (dropSession μ.pick.session q) =
      dropSession μ.pick.session (partOf i q) := by
    intro q
    simp only [partOf, dropSession, keep_eq, List.filter_filter]
    apply List.filter_congr
    intro x _
    exact Bool.and_comm _ _
  unfold settle
  cases μ.woken <;> cases μ.step <;> cases μ.session.phase <;> cases policy <;>
    simp only [drop, append, out, single, woken]

/-- After the commit of a session's step, the machine finds the session as the step left it, with
the same image. -/
theorem find_commit_self {r : Run} {μ : Micro} {i : Nat} {s : Session} {image : Loaded}
    (found : r.machine.find i = some (s, image)) (h : μ.pick.session = i)
    (kept : μ.session.image = s.image) :
    (r.commit μ).machine.find i = some (μ.session, image) := by
  subst h
  simp only [Machine.find, getAt_eq] at found
  split at found
  · cases found
  · rename_i s' hs
    split at found
    · cases found
    · rename_i image' hi
      injection found with found
      injection found with h1 h2
      subst h1 h2
      have lt := (List.getElem?_eq_some_iff.1 hs).1
      simp [Machine.find, Run.commit, lt, kept, hi]

theorem microStep_image (cx : Context) (session : Nat) (s : Session) (coroutine : Nat) :
    (microStep cx session s coroutine).session.image = s.image := step_image cx s coroutine

/-- A turn of a coroutine in the queue is the commit of its step. -/
theorem turn_eq_commit {r : Run} {p : Pick} {s : Session} {image : Loaded}
    (found : r.machine.find p.session = some (s, image)) (ready : p ∈ r.machine.queue) :
    { machine := (r.machine.pickTurn p).machine
      events := app r.events (r.machine.pickTurn p).shown.events : Run } =
      r.commit (microStep (r.machine.context image) p.session s p.coroutine) := by
  have inQueue : some? (fun q => samePick q p) r.machine.queue = true := by
    simp only [some?_eq, List.any_eq_true]
    exact ⟨p, ready, samePick_self p⟩
  simp only [Machine.pickTurn, inQueue, Machine.turnOf, Machine.micro, found]
  simp [Run.commit]

/-- After the commit of a session's step, the policy picks the coroutine with which the worker
continues. -/
theorem bestOf_commit_self {r : Run} {μ : Micro} {session : Nat} {s : Session} {image : Loaded}
    (found : r.machine.find session = some (s, image)) (h : μ.pick.session = session)
    (kept : μ.session.image = s.image) :
    (r.commit μ).machine.bestOf session =
      best (fun p => rankIn r.machine.config.policy image μ.session p.coroutine)
        (settle r.machine.config.policy (partOf session r.machine.queue) μ) := by
  have part : partOf session (r.commit μ).machine.queue = _ :=
    partOf_settle_self h r.machine.config.policy r.machine.queue
  simp only [Machine.bestOf, keep_eq]
  rw [← part]
  refine best_congr fun p hp => ?_
  simp only [Machine.rank, (mem_partOf.1 hp).2, find_commit_self found h kept, commit_config]

/-- If the policy picks a coroutine in its session, committing the steps that start with it equals
turns of the coroutines that step, and the policy picks each one at its turn. -/
theorem microRun_is_turns {r : Run} {session quantum : Nat} {s : Session} {image : Loaded}
    {coroutine : Nat} (found : r.machine.find session = some (s, image))
    (wanted : r.machine.bestOf session = some { session, coroutine }) :
    let μs := microRun (r.machine.context image) session quantum s
      (partOf session r.machine.queue) coroutine
    r.commitAll μs = r.turns (μs.map fun μ => μ.pick) ∧ r.allWanted (μs.map fun μ => μ.pick) := by
  induction quantum generalizing r s coroutine with
  | zero => exact ⟨rfl, trivial⟩
  | succ quantum ih =>
    have turn := turn_eq_commit (r := r) (p := { session, coroutine }) found (bestOf_mem wanted).1
    have one : r.commitAll [microStep (r.machine.context image) session s coroutine] =
        r.turns [{ session, coroutine }] ∧ r.allWanted [{ session, coroutine }] := by
      simp only [Run.commitAll, Run.turns, Run.allWanted, turn]
      exact ⟨trivial, wanted, trivial⟩
    simp only [microRun]
    split
    · exact one
    · split
      · exact one
      · rename_i p hp
        have found' := find_commit_self (μ := microStep (r.machine.context image) session s coroutine)
          found rfl (microStep_image _ _ _ _)
        have wanted' := bestOf_commit_self
          (μ := microStep (r.machine.context image) session s coroutine) found rfl
          (microStep_image _ _ _ _)
        have queue : partOf session
            (r.commit (microStep (r.machine.context image) session s coroutine)).machine.queue =
            settle r.machine.config.policy (partOf session r.machine.queue)
              (microStep (r.machine.context image) session s coroutine) :=
          partOf_settle_self
            (μ := microStep (r.machine.context image) session s coroutine) (i := session) rfl
            r.machine.config.policy r.machine.queue
        have hp' := wanted'.trans hp
        have next : { session, coroutine := p.coroutine : Pick } = p := by
          have := (bestOf_mem hp').2
          cases p; simp only at this; rw [this]
        have rest := ih (coroutine := p.coroutine) found' (by rw [next]; exact hp')
        rw [queue] at rest
        simp only [List.map_cons, Run.commitAll, Run.turns, Run.allWanted]
        have pick : (microStep (r.machine.context image) session s coroutine).pick =
            { session, coroutine } := rfl
        rw [pick, turn]
        exact ⟨rest.1, wanted, rest.2⟩

/-- If a pick is the one that the policy would step next in its session, committing its steps equals
turns of the coroutines that step, and the policy picks each one at its turn. -/
theorem runPick_is_turns {r : Run} {w : WavePick}
    (wanted : r.machine.bestOf w.pick.session = some w.pick) :
    let μs := r.machine.runPick w
    r.commitAll μs = r.turns (μs.map fun μ => μ.pick) ∧ r.allWanted (μs.map fun μ => μ.pick) := by
  cases hf : r.machine.find w.pick.session with
  | none => simp [Machine.runPick, hf, Run.commitAll, Run.turns, Run.allWanted]
  | some found =>
    have := microRun_is_turns (quantum := w.quantum) (s := found.1) (image := found.2) hf wanted
    simpa only [Machine.runPick, hf, keep_eq] using this

/-- Committing one session's step does not change which coroutine the policy picks in another
session. -/
theorem bestOf_commit_ne {r : Run} {μ : Micro} {i : Nat} (h : μ.pick.session ≠ i) :
    (r.commit μ).machine.bestOf i = r.machine.bestOf i := by
  have part : partOf i (r.commit μ).machine.queue = partOf i r.machine.queue :=
    partOf_settle h _ _
  simp only [Machine.bestOf, keep_eq]
  rw [show (r.commit μ).machine.queue.filter (fun p => Nat.beq p.session i) = _ from part]
  refine best_congr fun p hp => ?_
  have same := (mem_partOf.1 hp).2
  simp only [Machine.rank, find_commit_ne (r := r) (same ▸ h), commit_config]

theorem bestOf_commitAll_ne {r : Run} {μs : List Micro} {i : Nat}
    (h : ∀ μ, μ ∈ μs → μ.pick.session ≠ i) :
    (r.commitAll μs).machine.bestOf i = r.machine.bestOf i := by
  induction μs generalizing r with
  | nil => rfl
  | cons μ μs ih =>
    rw [Run.commitAll, ih (fun ν hν => h ν (List.mem_cons_of_mem _ hν)),
      bestOf_commit_ne (h μ List.mem_cons_self)]

theorem inTurn_is_turns {r : Run} {ws : List WavePick}
    (apart : ws.Pairwise fun a b => a.pick.session ≠ b.pick.session)
    (wanted : ∀ w, w ∈ ws → r.machine.bestOf w.pick.session = some w.pick) :
    r.inTurn ws = r.turns (r.steppedInTurn ws) ∧ r.allWanted (r.steppedInTurn ws) := by
  induction ws generalizing r with
  | nil => exact ⟨rfl, trivial⟩
  | cons w ws ih =>
    have ⟨first, rest⟩ := List.pairwise_cons.1 apart
    have ⟨h1, h2⟩ := runPick_is_turns (wanted w List.mem_cons_self)
    have ⟨h3, h4⟩ := ih (r := r.commitAll (r.machine.runPick w)) rest fun v hv => by
      rw [bestOf_commitAll_ne fun μ hμ => runPick_session hμ ▸ first v hv]
      exact wanted v (List.mem_cons_of_mem _ hv)
    simp only [Run.inTurn, Run.steppedInTurn, turns_append, allWanted_append, ← h1]
    exact ⟨h3, h2, h4⟩

/-- An accepted wave, with any quanta, gives the machine and the log of turns of the coroutines that
it shows as stepped, one after another, and each coroutine is, at its turn, the one that the policy
picks among the ready coroutines of its session. -/
theorem wave_is_its_turns (m : Machine) (c : WaveCertificate) (h : m.checkWave c = true) :
    waveFrom m { machine := m, events := [] } c.picks =
        Run.turns { machine := m, events := [] } (steppedBy m c.picks) ∧
      Run.allWanted { machine := m, events := [] } (steppedBy m c.picks) := by
  rw [certified_wave_exact m c [] h, wave_steps m c [] h]
  exact inTurn_is_turns (sessions_of_check h) fun w hw =>
    (((check_wave_iff m c).1 h).2.2.2.1 w hw).2.1

end Antiphon
