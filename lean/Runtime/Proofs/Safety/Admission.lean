module

public import Runtime.ProtocolMachine.Safety.Admission
public import Runtime.Proofs.Safety.Runs

@[expose] public section

/-!
# What admission means for runs

If an image is admitted to a machine with a configuration, its sessions are never in a bad
configuration, in any run of a machine with this configuration.
-/

namespace Antiphon

/-! ## The search for a role that waits for room -/

theorem roomyBelow_iff {i : Loaded} {bound : Nat} {c : Configuration} (n : Nat) :
    roomyBelow i bound c n = true ↔ firstWaitingBelow i bound c n = none := by
  induction n with
  | zero => simp [roomyBelow, firstWaitingBelow]
  | succ n ih =>
    simp only [roomyBelow, firstWaitingBelow]
    cases first : firstWaitingBelow i bound c n <;> cases last : c.lacksRoom i bound n <;>
      simp_all

/-- The search finds a configuration exactly if the test for room fails. -/
theorem roomy_iff {i : Loaded} {bound : Nat} (index : Nat) (cs : List Configuration) :
    roomy i bound cs = true ↔ firstFull i bound index cs = none := by
  induction cs generalizing index with
  | nil => simp [roomy, firstFull]
  | cons c cs ih =>
    have first := roomyBelow_iff (i := i) (bound := bound) (c := c) (len c.states)
    simp only [roomy, firstFull]
    cases waiting : firstWaitingBelow i bound c (len c.states) with
    | none =>
      rw [first.mpr waiting]
      exact ih (index + 1)
    | some role =>
      cases here : roomyBelow i bound c (len c.states) with
      | true =>
        rw [first.mp here] at waiting
        cases waiting
      | false => simp

/-- A certificate covers buffers from its own size on, larger ones exactly if `hasRoom` accepts
it. -/
theorem coverage_ok {image : CodeImage} {certificate : SafetyCertificate} {coverage : Coverage}
    (h : certificate.coverage image = .ok coverage) :
    coverage.bound = certificate.places ∧
      (coverage = .atLeast certificate.places ↔ hasRoom image certificate = true) := by
  unfold SafetyCertificate.coverage at h
  split at h
  · cases h
  · rename_i cs unpacked
    have room := roomy_iff (i := image.load []) (bound := certificate.places) 0 cs
    have same : hasRoom image certificate = roomy (image.load []) certificate.places cs := by
      simp only [hasRoom, unpacked]
    split at h
    · rename_i full
      cases h
      refine ⟨rfl, ⟨fun no => (by cases no), fun has => ?_⟩⟩
      rw [room.mp (same ▸ has)] at full
      cases full
    · rename_i none
      cases h
      exact ⟨rfl, fun _ => same ▸ room.mpr none, fun _ => rfl⟩

/-! ## Which machines are admitted to -/

/-- Buffers are covered exactly if they have the size of the certificate's, or are larger and the
coverage has no upper limit. -/
theorem coverage_admits {coverage : Coverage} {bufferMax : Nat} :
    (∃ admission, coverage.admit bufferMax = .ok admission) ↔
      bufferMax = coverage.bound ∨ coverage.bound ≤ bufferMax ∧ coverage = .atLeast coverage.bound := by
  unfold Coverage.admit
  cases less : Nat.blt bufferMax coverage.bound with
  | true =>
    rw [Nat.blt_eq] at less
    refine ⟨fun ⟨_, no⟩ => (by cases no), fun h => ?_⟩
    omega
  | false =>
    have least : coverage.bound ≤ bufferMax :=
      Nat.le_of_not_lt fun lt => by rw [← Nat.blt_eq, less] at lt; cases lt
    cases same : Nat.beq bufferMax coverage.bound with
    | true => exact ⟨fun _ => .inl (Nat.eq_of_beq_eq_true same), fun _ => ⟨_, rfl⟩⟩
    | false =>
      have differs := Nat.ne_of_beq_eq_false same
      cases coverage with
      | atLeast bound => exact ⟨fun _ => .inr ⟨least, rfl⟩, fun _ => ⟨_, rfl⟩⟩
      | exactly bound index role =>
        refine ⟨fun ⟨_, no⟩ => (by cases no), fun h => ?_⟩
        cases h with
        | inl equal => exact absurd equal differs
        | inr larger => cases larger.2

/-- An image is admitted exactly if the checker accepts the certificate and the machine's buffers
have the size of the certificate's, or are larger and no role waits for room in any configuration of
the certificate. -/
theorem admitRun_iff {config : ProtocolMachineConfig} {image : CodeImage} {certificate : SafetyCertificate} :
    (∃ admission, admitRun config image certificate = .ok admission) ↔
      checkCertificate image certificate = true ∧
        (config.bufferMax = certificate.places ∨
          certificate.places ≤ config.bufferMax ∧ hasRoom image certificate = true) := by
  cases verdict : examine (image.load []) certificate with
  | accepted =>
    have accepted : checkCertificate image certificate = true := by simp [checkCertificate, verdict]
    obtain ⟨cs, unpacked, -⟩ := inside_of_examine verdict
    simp only [admitRun, verdict]
    cases found : certificate.coverage image with
    | error index =>
      simp only [SafetyCertificate.coverage, unpacked] at found
      split at found <;> cases found
    | ok coverage =>
      have ⟨bound, room⟩ := coverage_ok found
      simp only [coverage_admits, accepted, true_and, bound, room]
  | _ =>
    simp [admitRun, checkCertificate, verdict]

/-- If an image is admitted to machines with a configuration, then in every run of such a machine no
session of the image is in a configuration where a role's next message is one that it cannot take,
where a message is buffered for a role that is done, or where some role is not done and no role can
send or receive. -/
theorem admitted_sessions_safe {config : ProtocolMachineConfig} {images : List Loaded} {as : List Action} {n : Nat}
    {s : Session} {image : CodeImage} {digest : Bytes} {certificate : SafetyCertificate} {admission : Admission}
    (admitted : admitRun config image certificate = .ok admission)
    (hs : (runOf config images as).machine.sessions[n]? = some s)
    (known : images[s.image]? = some (image.load digest)) :
    ¬ ReceptionError (image.load digest) s.configuration ∧ ¬ Orphan (image.load digest) s.configuration ∧
      ¬ Deadlock (image.load digest) config.bufferMax s.configuration := by
  obtain ⟨accepted, same | ⟨larger, room⟩⟩ := admitRun_iff.mp ⟨admission, admitted⟩
  · have ⟨reception, orphan, deadlock⟩ := certified_sessions_safe accepted hs known (Nat.le_of_eq same)
    exact ⟨reception, orphan, deadlock same⟩
  · exact certified_sessions_safe_larger_buffers accepted room hs known larger

/-- If `judge` accepts two byte strings and `judgeCoverage` covers a machine's buffers, then the
bytes encode an image and a certificate with which the image is admitted to such machines. -/
theorem judged_admission {config : ProtocolMachineConfig} {b d : Bytes} {coverage : Coverage} {admission : Admission}
    (accepted : judge b d = .examined .accepted) (covered : judgeCoverage b d = some coverage)
    (admitted : coverage.admit config.bufferMax = .ok admission) :
    ∃ image certificate, decImage b = some (image, []) ∧ readCertificate d = some certificate ∧
      admitRun config image certificate = .ok admission := by
  obtain ⟨image, certificate, read, readToo, -⟩ := judged_sound accepted
  refine ⟨image, certificate, read, readToo, ?_⟩
  simp only [judge, read, readToo, Judged.examined.injEq] at accepted
  simp only [judgeCoverage, read, readToo] at covered
  split at covered
  · cases covered
  · rename_i found
    cases covered
    simp only [admitRun, accepted, found, admitted]

end Antiphon
