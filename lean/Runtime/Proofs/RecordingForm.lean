module

public import Runtime.Proofs.Recording

@[expose] public section

/-! # Which runs are recorded: only those of the form that a driver produces -/

namespace Antiphon

variable {s t : Replayer} {start : Replayer} {w w' : Recorder} {m : Machine} {due : Checkpoints}
  {done : List Action}

/-- The machine to which actions lead. -/
def machineAfter (m : Machine) (as : List Action) : Machine :=
  (Run.actAll { machine := m, events := [] } as).machine

/-- Whether a driver may do this action on a machine: a turn that steps, any input, or a wave that
the checker accepts and whose certificate is the one that its picks have. -/
def DrivenIn (m : Machine) : Action → Prop
  | .turn => ∃ p step, (m.act .turn).shown.result = .stepped p step
  | .input _ => True
  | .wave c => m.checkWave c = true ∧ m.claim (quantaOf c.picks) = c
  | .pick _ => False
  | .round _ _ => False

/-- Whether a driver may do these actions one after another, starting on this machine. -/
def DriverForm (m : Machine) (as : List Action) : Prop :=
  ∀ before a rest, as = before ++ a :: rest → DrivenIn (machineAfter m before) a

theorem turn_stepped (h : s.turn = some t) : ∃ p step, (s.machine.act .turn).shown.result = .stepped p step := by
  unfold Replayer.turn at h
  split at h
  · dsimp only at h
    split at h
    · rename_i p step result
      exact ⟨p, step, result⟩
    · cases h
  · cases h

theorem play_wave_checks {picks : List (Pick × Nat)} (h : s.play (.wave s.machine.stepIndex picks) = some t) :
    s.machine.checkWave (s.machine.claim picks) = true := by
  unfold Replayer.play at h
  split at h
  · simp [Replayer.confirm] at h
  · dsimp only at h
    split at h
    · cases h
    · rename_i v hv
      have same := reachAsked_self hv
      subst same
      unfold Replayer.wave at h
      split at h
      · cases h
      · rename_i accepted
        exact accepted

theorem Follows.write {x : RecordedEntry} (h : Follows m w.now) (r : w.write x = some w') : Follows m w'.now :=
  h.play (write_some r).1

theorem Follows.ask {e : EffectId} (h : Follows m w.now) (r : w.ask e = some w') : Follows m w'.now := by
  unfold Recorder.ask at r
  split at r
  · cases r
  · exact h.write r

theorem Follows.askAll {es : List EffectId} (h : Follows m w.now) (r : Recorder.askAll es w = some w') :
    Follows m w'.now := by
  induction es generalizing w with
  | nil =>
    simp only [Recorder.askAll, Option.some.injEq] at r
    exact r ▸ h
  | cons e es ih =>
    simp only [Recorder.askAll] at r
    split at r
    · cases r
    · rename_i next asked
      exact ih (h.ask asked) r

theorem Follows.askTo {to : EffectId} {es : List EffectId} (h : Follows m w.now)
    (r : Recorder.askTo to es w = some w') : Follows m w'.now := by
  induction es generalizing w with
  | nil => simp [Recorder.askTo] at r
  | cons e es ih =>
    simp only [Recorder.askTo] at r
    split at r
    · cases r
    · rename_i next asked
      split at r
      · simp only [Option.some.injEq] at r
        exact r ▸ h.ask asked
      · exact ih (h.ask asked) r

theorem Follows.pause (h : Follows m w.now) (r : w.pause due = some w') : Follows m w'.now := by
  unfold Recorder.pause at r
  split at r
  · cases r
  · rename_i next asked
    split at r
    · simp only [Option.some.injEq] at r
      exact r ▸ h.askAll asked
    · exact (h.askAll asked).write r

theorem Follows.writeInput {x : RecordedEntry} (h : Follows m w.now) (r : w.writeInput x = some w') :
    Follows m w'.now := by
  unfold Recorder.writeInput at r
  split at r
  · cases r
  · rename_i next written
    unfold Recorder.confirm at r
    split at r
    · simp only [Option.some.injEq] at r
      exact r ▸ h.write written
    · exact (h.write written).write r

theorem Follows.recordInput {ingress : Ingress} (h : Follows m w.now) (r : w.input due ingress = some w') :
    Follows m w'.now := by
  unfold Recorder.input at r
  split at r
  · cases r
  · rename_i next paused
    exact (h.pause paused).writeInput r

theorem Follows.act {a : Action} (h : Follows m w.now) (r : w.act due a = some w') : Follows m w'.now := by
  unfold Recorder.act at r
  split at r
  · unfold Recorder.turn at r
    split at r
    · cases r
    · rename_i next paused
      split at r
      · cases r
      · rename_i t turned
        simp only [Option.some.injEq] at r
        subst r
        exact (h.pause paused).turn turned
  · split at r
    · split at r
      · unfold Recorder.answer at r
        split at r
        · cases r
        · rename_i next asked
          exact (h.askTo asked).writeInput r
      · exact h.recordInput r
    · exact h.recordInput r
  · unfold Recorder.wave at r
    split at r
    · cases r
    · rename_i next paused
      split at r
      · exact (h.pause paused).write r
      · cases r
  · cases r
  · cases r

/-- The machine of a recorder that has paused is the one to which the actions so far lead. -/
theorem paused_machine (records : Records start w done) (follows : Follows m w.now)
    (r : w.pause due = some w') : w'.now.machine = machineAfter m done.reverse := by
  have same := follows.pause r
  unfold Follows at same
  rw [same, (records.pause r).actions, machineAfter]

theorem act_driven {a : Action} (records : Records start w done) (follows : Follows m w.now)
    (r : w.act due a = some w') : DrivenIn (machineAfter m done.reverse) a := by
  unfold Recorder.act at r
  split at r
  · unfold Recorder.turn at r
    split at r
    · cases r
    · rename_i next paused
      split at r
      · cases r
      · rename_i t turned
        rw [← paused_machine records follows paused]
        exact turn_stepped turned
  · exact trivial
  · unfold Recorder.wave at r
    split at r
    · cases r
    · rename_i next paused
      split at r
      · rename_i same
        have same := sameCertificate_eq same
        have accepted := play_wave_checks (write_some r).1
        rw [same] at accepted
        rw [← paused_machine records follows paused]
        exact ⟨accepted, same⟩
      · cases r
  · cases r
  · cases r

theorem actAll_driven {as : List Action} (records : Records start w done) (follows : Follows m w.now)
    (r : Recorder.actAll due w as = some w') (before : List Action) (a : Action) (rest : List Action)
    (parts : as = before ++ a :: rest) : DrivenIn (machineAfter m (done.reverse ++ before)) a := by
  induction as generalizing w done before with
  | nil => simp at parts
  | cons x xs ih =>
    simp only [Recorder.actAll] at r
    split at r
    · cases r
    · rename_i next acted
      cases before with
      | nil =>
        simp only [List.nil_append, List.cons.injEq] at parts
        rw [List.append_nil, ← parts.1]
        exact act_driven records follows acted
      | cons b bs =>
        simp only [List.cons_append, List.cons.injEq] at parts
        have driven := ih (records.act acted) (follows.act acted) r bs parts.2
        rw [parts.1] at driven
        simpa using driven

/-- A run that has a recording has the form that a driver produces: `compress` refuses any other
one. -/
theorem compress_driverForm {digests : Option Bytes × Option Bytes} {config : ProtocolMachineConfig}
    {images : List Loaded} {actions : List Action} {r : RecordedRun}
    (h : compress due digests config images actions = some r) :
    DriverForm (Machine.new config images) actions := by
  unfold compress at h
  split at h
  · cases h
  · rename_i w acted
    have records : Records (Replayer.start (Machine.new config images))
        { now := Replayer.start (Machine.new config images), entries := [] } [] :=
      ⟨⟨_, rfl, .same _⟩, rfl⟩
    have follows : Follows (Machine.new config images) (Replayer.start (Machine.new config images)) := rfl
    intro before a rest parts
    simpa using actAll_driven records follows acted before a rest parts

end Antiphon
