module

public import Runtime.Proofs.Safety.Admission
public import Runtime.Tests.Safety

@[expose] public section

/-!
# Tests of admission

Images that are admitted in each way, images that are refused for each reason, and rules of
admission that leave out a condition and so admit an image that comes to a bad configuration.
-/

namespace Antiphon.Tests.Admission

open Antiphon.Tests.Safety

/-- The configuration of a machine with buffers of this size. -/
def withBuffers (bufferMax : Nat) : ProtocolMachineConfig := { config with bufferMax }

/-! ## Each result -/

/-- In `talk` no role waits for room: its certificate for buffers of one message admits it to
machines with any buffers. -/
example : admitRun (withBuffers 1) talk talks = .ok { way := .sameBound, coverage := .atLeast 1 } := by rfl

example : admitRun (withBuffers 64) talk talks = .ok { way := .room, coverage := .atLeast 1 } := by rfl

example : admitRun (withBuffers 0) talk talks = .error (.smallerBuffers 1) := by rfl

/-- In `ahead` a role waits for room: the second one, in the first configuration. -/
example : admitRun (withBuffers 1) ahead waits = .ok { way := .sameBound, coverage := .exactly 1 0 1 } := by rfl

example : admitRun (withBuffers 2) ahead waits = .error (.noRoom 1 0 1) := by rfl

example : admitRun (withBuffers 1) deaf talks = .error (.certificate (.foreign 0)) := by rfl

/-! ## An image that is safe with buffers of two messages and not with the default of sixty-four -/

/-- A sends three messages to B, who never reads them. Then A expects `x` from C, who has sent
`y`. -/
def threeAhead : CodeImage :=
  speaking [
    { name := [65], states := [.send 1 [branch 0 1], .send 1 [branch 0 2], .send 1 [branch 0 3],
      .recv 2 [branch 0 4], .done] },
    { name := [66], states := [.send 2 [branch 0 0]] },
    { name := [67], states := [.send 0 [branch 1 1], .recv 1 [branch 0 1]] }]

/-- Its configurations with buffers of two messages. -/
def twoAhead : SafetyCertificate where
  bound := 2
  rows := [
    [0, 0, 0, noLabel, noLabel, 0, 0, noLabel, noLabel], [0, 0, 0, noLabel, noLabel, 0, noLabel, noLabel, noLabel],
    [0, 0, 0, noLabel, noLabel, noLabel, noLabel, noLabel, noLabel], [0, 0, 1, noLabel, noLabel, 0, 0, 1, noLabel],
    [0, 0, 1, noLabel, noLabel, 0, noLabel, 1, noLabel], [0, 0, 1, noLabel, noLabel, noLabel, noLabel, 1, noLabel],
    [1, 0, 0, 0, noLabel, 0, 0, noLabel, noLabel], [1, 0, 0, 0, noLabel, 0, noLabel, noLabel, noLabel],
    [1, 0, 0, 0, noLabel, noLabel, noLabel, noLabel, noLabel], [1, 0, 1, 0, noLabel, 0, 0, 1, noLabel],
    [1, 0, 1, 0, noLabel, 0, noLabel, 1, noLabel], [1, 0, 1, 0, noLabel, noLabel, noLabel, 1, noLabel],
    [2, 0, 0, 0, 0, 0, 0, noLabel, noLabel], [2, 0, 0, 0, 0, 0, noLabel, noLabel, noLabel],
    [2, 0, 0, 0, 0, noLabel, noLabel, noLabel, noLabel], [2, 0, 1, 0, 0, 0, 0, 1, noLabel],
    [2, 0, 1, 0, 0, 0, noLabel, 1, noLabel], [2, 0, 1, 0, 0, noLabel, noLabel, 1, noLabel]]

example : admitRun (withBuffers 2) threeAhead twoAhead = .ok { way := .sameBound, coverage := .exactly 2 0 1 } := by
  rfl

example : admitRun (withBuffers 64) threeAhead twoAhead = .error (.noRoom 2 0 1) := by rfl

/-- With buffers of 64 messages, A gets a message that it cannot take. -/
theorem three_ahead_wrong : ∃ c, Reachable (threeAhead.load []) 64 c ∧ ReceptionError (threeAhead.load []) c := by
  refine ⟨{ states := [3, 0, 1], buffers := [[0, 0, 0], [], [1]] }, ?_, ⟨0, _, 1, [], rfl, rfl, rfl, by decide⟩⟩
  have one : Reachable (threeAhead.load []) 64 { states := [1, 0, 0], buffers := [[0], [], []] } :=
    reached .start rfl List.mem_cons_self
  have two : Reachable (threeAhead.load []) 64 { states := [2, 0, 0], buffers := [[0, 0], [], []] } :=
    reached one rfl List.mem_cons_self
  have three : Reachable (threeAhead.load []) 64 { states := [3, 0, 0], buffers := [[0, 0, 0], [], []] } :=
    reached two rfl List.mem_cons_self
  exact reached three (next := [{ states := [3, 0, 0], buffers := [[0, 0, 0], [0], []] },
    { states := [3, 0, 1], buffers := [[0, 0, 0], [], [1]] }]) rfl (List.mem_cons_of_mem _ List.mem_cons_self)

/-! ## Rules that leave out a condition -/

/-- The statement of `admitted_sessions_safe` for a rule of admission. -/
def SafeIfAdmitted (admits : ProtocolMachineConfig → CodeImage → SafetyCertificate → Bool) : Prop :=
  ∀ {config : ProtocolMachineConfig} {images : List Loaded} {as : List Action} {n : Nat} {s : Session} {image : CodeImage}
    {digest : Bytes} {certificate : SafetyCertificate}, admits config image certificate = true →
    (runOf config images as).machine.sessions[n]? = some s → images[s.image]? = some (image.load digest) →
    ¬ ReceptionError (image.load digest) s.configuration ∧ ¬ Orphan (image.load digest) s.configuration ∧
      ¬ Deadlock (image.load digest) config.bufferMax s.configuration

/-- Whether the real rule admits an image. -/
def admits (config : ProtocolMachineConfig) (image : CodeImage) (certificate : SafetyCertificate) : Bool :=
  match admitRun config image certificate with
  | .ok _ => true
  | .error _ => false

/-- The statement holds for the real rule. -/
theorem safeIfAdmitted : SafeIfAdmitted admits := by
  intro config images as n s image digest certificate h
  unfold admits at h
  split at h
  · rename_i admission admitted
    exact admitted_sessions_safe admitted
  · cases h

/-- A rule that ignores the checker's verdict. -/
def admitsUnchecked (config : ProtocolMachineConfig) (_ : CodeImage) (certificate : SafetyCertificate) : Bool :=
  Nat.beq config.bufferMax certificate.places

theorem unchecked_unsafe : ¬ SafeIfAdmitted admitsUnchecked := by
  intro h
  have run : ∃ s, (runOn 1 deafRuns [⟨0, 0⟩, ⟨0, 0⟩]).machine.sessions[0]? = some s ∧
      [deafRuns.load [7]][s.image]? = some (deafRuns.load [7]) ∧ s.configuration = here 1 0 [1] := ⟨_, rfl, rfl, rfl⟩
  obtain ⟨s, found, image, is⟩ := run
  have ⟨reception, _⟩ := h (certificate := talks) (by decide) found image
  exact reception (is ▸ ⟨1, _, 1, [], rfl, rfl, rfl, by decide⟩)

/-- A rule that admits to machines with larger buffers without a test for room. -/
def admitsLarger (config : ProtocolMachineConfig) (image : CodeImage) (certificate : SafetyCertificate) : Bool :=
  checkCertificate image certificate && Nat.ble certificate.places config.bufferMax

theorem larger_unsafe : ¬ SafeIfAdmitted admitsLarger := by
  intro h
  have run : ∃ s, (runOn 2 aheadRuns [⟨0, 0⟩, ⟨0, 0⟩, ⟨0, 0⟩, ⟨0, 2⟩, ⟨0, 2⟩]).machine.sessions[0]? = some s ∧
      [aheadRuns.load [7]][s.image]? = some (aheadRuns.load [7]) ∧
      s.configuration = { states := [2, 0, 1], buffers := [[0, 0], [], [1]] } := ⟨_, rfl, rfl, rfl⟩
  obtain ⟨s, found, image, is⟩ := run
  have ⟨reception, _⟩ := h (certificate := waits) (by decide) found image
  exact reception (is ▸ ⟨0, _, 1, [], rfl, rfl, rfl, by decide⟩)

/-- A rule that admits to machines with smaller buffers. -/
def admitsSmaller (config : ProtocolMachineConfig) (image : CodeImage) (certificate : SafetyCertificate) : Bool :=
  checkCertificate image certificate && Nat.ble config.bufferMax certificate.places

theorem smaller_unsafe : ¬ SafeIfAdmitted admitsSmaller := by
  intro h
  have run : ∃ s, (runOn 0 talk []).machine.sessions[0]? = some s ∧
      [talk.load [7]][s.image]? = some (talk.load [7]) ∧ s.configuration = (talk.load [7]).beginning := ⟨_, rfl, rfl, rfl⟩
  obtain ⟨s, found, image, is⟩ := run
  have ⟨_, _, deadlock⟩ := h (certificate := talks) (by decide) found image
  refine deadlock (is ▸ ⟨⟨0, by decide, ?_⟩, fun d moves => ?_⟩)
  · rw [← ended_iff]
    decide
  · have := mem_successors.mpr moves
    rw [show successors (talk.load [7]) 0 (talk.load [7]).beginning = [] from rfl] at this
    cases this

/-! ## Bytes -/

/-- The hypotheses of `judged_admission` hold for the bytes of `talk` and its certificate. -/
example : judge (encImage talk []) talksBytes = .examined .accepted ∧
    judgeCoverage (encImage talk []) talksBytes = some (.atLeast 1) ∧
    Coverage.admit (.atLeast 1) 64 = .ok { way := .room, coverage := .atLeast 1 } := ⟨by decide, by decide, rfl⟩

end Antiphon.Tests.Admission
