module

public import Runtime.Tests.Admission
public import Runtime.Tests.Headlines.Row

@[expose] public noncomputable section

/-!
# The table of headlines: admission
-/

namespace Antiphon.Tests.Headlines

/-- A rule of admission. -/
abbrev Rule : Type :=
  ProtocolMachineConfig → CodeImage → SafetyCertificate → Except NotAdmitted Admission

/-- The rule that admits to machines with larger buffers without a test for room. -/
def admitLarger : Rule := fun config image certificate =>
  match Admission.admitsLarger config image certificate with
  | true => .ok { way := .room, coverage := .atLeast certificate.bound }
  | false => .error (.smallerBuffers certificate.bound)

theorem admitLarger_ok {config : ProtocolMachineConfig} {image : CodeImage}
    {certificate : SafetyCertificate}
    (h : Admission.admitsLarger config image certificate = true) :
    ∃ admission, admitLarger config image certificate = .ok admission := by
  simp [admitLarger, h]

/-- Changed: room is not tested. -/
def admitRun_iff : Headline where
  Subject := Rule
  claim rule := ∀ (config : ProtocolMachineConfig) (image : CodeImage)
    (certificate : SafetyCertificate),
    (∃ admission, rule config image certificate = .ok admission) ↔
      checkCertificate image certificate = true ∧
        (config.bufferMax = certificate.places ∨
          certificate.places ≤ config.bufferMax ∧ hasRoom image certificate = true)
  real := admitRun
  changed := admitLarger
  holds := @Antiphon.admitRun_iff
  fails h := by
    have admitted := admitLarger_ok (config := Admission.withBuffers 2) (image := Safety.ahead)
      (certificate := Safety.waits) (by decide)
    obtain ⟨_, same | ⟨_, room⟩⟩ := (h _ _ _).mp admitted
    · exact absurd same (by decide)
    · exact absurd room (by decide)

/-- The image that reads no message of three is not admitted to machines with buffers of 64. -/
theorem admitRun_iff_applied :
    ¬ ∃ admission, admitRun (Admission.withBuffers 64) Admission.threeAhead Admission.twoAhead =
      .ok admission := by
  rw [Antiphon.admitRun_iff]
  decide

/-- Changed: room is not tested. -/
def admitted_sessions_safe : Headline where
  Subject := Rule
  claim rule := ∀ (config : ProtocolMachineConfig) (images : List Loaded) (as : List Action)
    (n : Nat) (s : Session) (image : CodeImage) (digest : Bytes) (certificate : SafetyCertificate)
    (admission : Admission), rule config image certificate = .ok admission →
      (runOf config images as).machine.sessions[n]? = some s →
        images[s.image]? = some (image.load digest) →
          ¬ ReceptionError (image.load digest) s.configuration ∧
            ¬ Orphan (image.load digest) s.configuration ∧
            ¬ Deadlock (image.load digest) config.bufferMax s.configuration
  real := admitRun
  changed := admitLarger
  holds := @Antiphon.admitted_sessions_safe
  fails h := by
    refine Admission.larger_unsafe fun admitted hs known => ?_
    obtain ⟨admission, admitted⟩ := admitLarger_ok admitted
    exact h _ _ _ _ _ _ _ _ admission admitted hs known

/-- A session of `talk` in a machine with buffers of 64 messages is not at a deadlock when it
starts. -/
theorem admitted_sessions_safe_applied :
    ¬ Deadlock (Safety.talk.load [7]) 64 (Safety.talk.load [7]).beginning := by
  have run : ∃ s, (Safety.runOn 64 Safety.talk []).machine.sessions[0]? = some s ∧
      [Safety.talk.load [7]][s.image]? = some (Safety.talk.load [7]) ∧
      s.configuration = (Safety.talk.load [7]).beginning := ⟨_, rfl, rfl, rfl⟩
  obtain ⟨s, found, image, is⟩ := run
  have admitted : admitRun (Admission.withBuffers 64) Safety.talk Safety.talks =
      .ok { way := .room, coverage := .atLeast 1 } := by rfl
  exact is ▸ (Antiphon.admitted_sessions_safe admitted found image).2.2

end Antiphon.Tests.Headlines
