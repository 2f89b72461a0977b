module

public import Runtime.Proofs.Safety.Session
public import Runtime.Proofs.Session.Runs

@[expose] public section

/-!
# What a certificate means for runs

Every session of every run is in a reachable configuration, so what a certificate proves about
reachable configurations holds for the session.
-/

namespace Antiphon

/-- A session is in a reachable configuration, for any bound that is at least the configuration's
`bufferMax`. -/
theorem Lives.reachable {i : Loaded} {config : ProtocolMachineConfig} {s : Session} {log : List Event} {bound : Nat}
    (wide : config.bufferMax ≤ bound) (h : Lives i config s log) : Reachable i bound s.configuration := by
  refine h.moves (P := fun s _ => Reachable i bound s.configuration) ?_ ?_
  · intro id row owner events
    show Reachable i bound (Session.start i config id row owner).configuration
    rw [start_configuration]
    exact .start
  · intro s s' log es clock _ ih moved
    show Reachable i bound s'.configuration
    rcases moved_configuration wide moved with same | step
    · rw [same]
      exact ih
    · exact ih.step step

/-- Steps do not depend on the image's digest. -/
theorem Moves.of_digest {image : CodeImage} {digest : Bytes} {bound : Nat} {c d : Configuration}
    (h : Moves (image.load digest) bound c d) (other : Bytes) : Moves (image.load other) bound c d := by
  cases h with
  | send stands act buffer room branch => exact .send stands act buffer room branch
  | receive stands act buffer branch => exact .receive stands act buffer branch

theorem Reachable.of_digest {image : CodeImage} {digest : Bytes} {bound : Nat} {c : Configuration}
    (h : Reachable (image.load digest) bound c) (other : Bytes) : Reachable (image.load other) bound c := by
  induction h with
  | start => exact .start
  | step _ moves ih => exact ih.step (moves.of_digest other)

/-- In every run of a machine whose `bufferMax` is at most an accepted certificate's bound, no
session of that image is in a configuration where a role's next message is one that it cannot take,
or where a message is buffered for a role that is done; and if the two are equal, none is in a
deadlock, where some role is not done and no role can send or receive. -/
theorem certified_sessions_safe {config : ProtocolMachineConfig} {images : List Loaded} {as : List Action} {n : Nat}
    {s : Session} {image : CodeImage} {digest : Bytes} {certificate : SafetyCertificate}
    (accepted : checkCertificate image certificate = true)
    (hs : (runOf config images as).machine.sessions[n]? = some s)
    (certified : images[s.image]? = some (image.load digest))
    (wide : config.bufferMax ≤ certificate.places) :
    ¬ ReceptionError (image.load digest) s.configuration ∧ ¬ Orphan (image.load digest) s.configuration ∧
      (config.bufferMax = certificate.places →
        ¬ Deadlock (image.load digest) config.bufferMax s.configuration) := by
  obtain ⟨i, hi, life⟩ := lives_of_run hs
  rw [certified] at hi
  cases hi
  have ⟨deadlock, reception, orphan⟩ :=
    safety_certificate_sound accepted ((life.reachable wide).of_digest [])
  refine ⟨reception, orphan, fun same d => deadlock ?_⟩
  rw [← same]
  exact ⟨d.1, fun c moves => d.2 c (moves.of_digest digest)⟩

/-- In every run of a machine whose `bufferMax` is at least an accepted certificate's bound, if no
role waits for room in any configuration of the certificate, no session of that image is in a
configuration where a role's next message is one that it cannot take, where a message is buffered
for a role that is done, or where some role is not done and no role can send or receive. -/
theorem certified_sessions_safe_larger_buffers {config : ProtocolMachineConfig} {images : List Loaded} {as : List Action}
    {n : Nat} {s : Session} {image : CodeImage} {digest : Bytes} {certificate : SafetyCertificate}
    (accepted : checkCertificate image certificate = true) (room : hasRoom image certificate = true)
    (hs : (runOf config images as).machine.sessions[n]? = some s)
    (certified : images[s.image]? = some (image.load digest))
    (larger : certificate.places ≤ config.bufferMax) :
    ¬ ReceptionError (image.load digest) s.configuration ∧ ¬ Orphan (image.load digest) s.configuration ∧
      ¬ Deadlock (image.load digest) config.bufferMax s.configuration := by
  obtain ⟨i, hi, life⟩ := lives_of_run hs
  rw [certified] at hi
  cases hi
  have ⟨_, deadlock, reception, orphan⟩ := certified_safe_larger_buffers accepted room larger
    ((life.reachable (Nat.le_refl _)).of_digest [])
  exact ⟨reception, orphan, fun d => deadlock ⟨d.1, fun c moves => d.2 c (moves.of_digest digest)⟩⟩

end Antiphon
