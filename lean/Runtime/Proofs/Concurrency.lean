module

public import Runtime.Proofs.Concurrency.Frame

@[expose] public noncomputable section

/-!
# A certified wave has the effect of its picks one after another

Every pick of a wave runs on the machine as it was before the wave. The checker ensures that this
makes no difference.
-/

namespace Antiphon

/-- The coroutines that step when picks run one after another. -/
def Run.steppedInTurn (r : Run) : List WavePick → List Pick
  | [] => []
  | w :: ws =>
    (r.machine.runPick w).map (fun μ => μ.pick) ++
      (r.commitAll (r.machine.runPick w)).steppedInTurn ws

/-- Committing one pick's steps does not change the steps of a pick of another session. -/
theorem runPick_after {r : Run} {w v : WavePick} (h : w.pick.session ≠ v.pick.session)
    (before : Machine) :
    (r.commitAll (before.runPick w)).machine.runPick v = r.machine.runPick v :=
  runPick_commitAll_ne fun _ hμ => runPick_session hμ ▸ h

/-- If the sessions of the picks differ pairwise, running every pick on the machine before the wave
gives the same run and the same stepped coroutines as running the picks one after another. -/
theorem wave_exact_of_sessions {before : Machine} {r : Run} {ws : List WavePick}
    (apart : ws.Pairwise fun a b => a.pick.session ≠ b.pick.session)
    (same : ∀ w, w ∈ ws → r.machine.runPick w = before.runPick w) :
    waveFrom before r ws = r.inTurn ws ∧ steppedBy before ws = r.steppedInTurn ws := by
  induction ws generalizing r with
  | nil => exact ⟨rfl, rfl⟩
  | cons w ws ih =>
    have ⟨first, rest⟩ := List.pairwise_cons.1 apart
    have hw := same w List.mem_cons_self
    have := ih (r := r.commitAll (before.runPick w)) rest fun v hv => by
      rw [runPick_after (first v hv), same v (List.mem_cons_of_mem _ hv)]
    simp [waveFrom, Run.inTurn, steppedBy, Run.steppedInTurn, hw, this.1, this.2]

/-- The sessions of an accepted certificate's picks differ pairwise. -/
theorem sessions_of_check {m : Machine} {c : WaveCertificate} (h : m.checkWave c = true) :
    c.picks.Pairwise fun a b => a.pick.session ≠ b.pick.session :=
  ((check_wave_iff m c).1 h).2.2.2.2.imp fun hab => hab.2.1

/-- If the checker accepts a certificate, running every pick on the machine before the wave and
committing in pick order gives the same machine and the same log as running the picks one after
another. -/
theorem certified_wave_exact (m : Machine) (c : WaveCertificate) (log : List ObsEvent)
    (h : m.checkWave c = true) :
    waveFrom m { machine := m, events := log } c.picks =
      Run.inTurn { machine := m, events := log } c.picks :=
  (wave_exact_of_sessions (r := { machine := m, events := log }) (sessions_of_check h)
    fun _ _ => rfl).1

/-- The coroutines that an accepted wave shows as stepped are those that step when its picks run one
after another. -/
theorem wave_steps (m : Machine) (c : WaveCertificate) (log : List ObsEvent)
    (h : m.checkWave c = true) :
    steppedBy m c.picks = Run.steppedInTurn { machine := m, events := log } c.picks :=
  (wave_exact_of_sessions (r := { machine := m, events := log }) (sessions_of_check h)
    fun _ _ => rfl).2

/-- A round with an accepted certificate leaves the machine, and shows the events and the stepped
coroutines, of its picks run one after another. -/
theorem round_with_exact (m : Machine) (c : WaveCertificate) (h : m.checkWave c = true) :
    let r := Run.inTurn { machine := m, events := [] } c.picks
    m.roundWith c =
      { machine := r.machine
        shown := {
          result := .round (Run.steppedInTurn { machine := m, events := [] } c.picks) false
          events := r.events
          request := none } } := by
  simp only [Machine.roundWith, h, Machine.wave, certified_wave_exact m c [] h,
    wave_steps m c [] h]

/-- If the checker rejects a certificate, the round leaves the machine and shows the events of one
canonical turn. -/
theorem invalid_wave_is_one_step (m : Machine) (c : WaveCertificate) (h : m.checkWave c = false) :
    (m.roundWith c).machine = m.schedRoundOne.machine ∧
      (m.roundWith c).shown.events = m.schedRoundOne.shown.events := by
  simp only [Machine.roundWith, h]
  split <;> exact ⟨rfl, rfl⟩

end Antiphon
