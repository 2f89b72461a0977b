module

public import Runtime.ProtocolMachine.Safety.Codec
public import Runtime.Proofs.Safety.Moves

@[expose] public section

/-!
# The safety certificate

If the checker accepts a certificate, nothing bad can be reached while no buffer holds more messages than the
certificate's bound.
-/

namespace Antiphon

/-! ## The tree finds nothing that is not in the list -/

theorem orderNumbers_same {xs ys : List Nat} (h : orderNumbers xs ys = .same) : xs = ys := by
  induction xs generalizing ys with
  | nil => cases ys <;> simp_all [orderNumbers]
  | cons x xs ih =>
    cases ys with
    | nil => simp [orderNumbers] at h
    | cons y ys =>
      unfold orderNumbers at h
      split at h
      · cases h
      · split at h
        · rename_i same
          rw [Nat.eq_of_beq_eq_true same, ih h]
        · cases h

theorem orderBuffers_same {xs ys : List (List Nat)} (h : orderBuffers xs ys = .same) : xs = ys := by
  induction xs generalizing ys with
  | nil => cases ys <;> simp_all [orderBuffers]
  | cons x xs ih =>
    cases ys with
    | nil => simp [orderBuffers] at h
    | cons y ys =>
      unfold orderBuffers at h
      split at h
      · rename_i same
        rw [orderNumbers_same same, ih h]
      · rename_i no
        exact absurd h no

theorem order_same {c d : Configuration} (h : c.order d = .same) : c = d := by
  unfold Configuration.order at h
  split at h
  · rename_i same
    cases c
    cases d
    simp only at same h
    rw [orderNumbers_same same, orderBuffers_same h]
  · rename_i no
    exact absurd h no

/-- The configurations of a set. -/
noncomputable def Explored.items : Explored → List Configuration
  | .none => []
  | .node left c right => left.items ++ c :: right.items

theorem mem_of_has {c : Configuration} {set : Explored} (h : set.has c = true) : c ∈ set.items := by
  induction set with
  | none => cases h
  | node left d right ihl ihr =>
    unfold Explored.has at h
    unfold Explored.items
    split at h
    · rename_i same
      rw [order_same same]
      simp
    · simp [ihl h]
    · simp [ihr h]

theorem grow_items (depth : Nat) (cs : List Configuration) :
    (grow depth cs).1.items ++ (grow depth cs).2 = cs := by
  induction depth generalizing cs with
  | zero => simp [grow, Explored.items]
  | succ depth ih =>
    have left := ih cs
    unfold grow
    split
    · rename_i l e
      simpa [e] using left
    · rename_i l c rest e
      have right := ih rest
      simp only [e] at left
      simp only [Explored.items, List.append_assoc, List.cons_append, right, left]

theorem mem_of_explored {c : Configuration} {cs : List Configuration} (h : (Explored.of cs).has c = true) : c ∈ cs := by
  rw [← grow_items 48 cs]
  exact List.mem_append_left _ (mem_of_has h)

/-! ## The check is sound -/

theorem mem_of_hasAll {set : Explored} {cs : List Configuration} (h : set.hasAll cs = true) :
    ∀ c ∈ cs, set.has c = true := by
  induction cs with
  | nil => simp
  | cons x xs ih =>
    unfold Explored.hasAll at h
    split at h
    · rename_i first
      intro c mem
      cases mem with
      | head => exact first
      | tail _ mem => exact ih h c mem
    · cases h

theorem of_closed {i : Loaded} {bound : Nat} {set : Explored} {index : Nat} {cs : List Configuration}
    (h : closed i bound set index cs = .accepted) :
    ∀ c ∈ cs, bad i bound c (successors i bound c) = false ∧ set.hasAll (successors i bound c) = true := by
  induction cs generalizing index with
  | nil => simp
  | cons x xs ih =>
    simp only [closed] at h
    split at h
    · cases h
    · rename_i good
      split at h
      · cases h
      · rename_i inside
        intro c mem
        cases mem with
        | head => exact ⟨good, inside⟩
        | tail _ mem => exact ih h c mem

/-- An accepted certificate holds every reachable configuration, and none that is bad. -/
theorem good_of_examine {i : Loaded} {certificate : SafetyCertificate} (h : examine i certificate = .accepted)
    {c : Configuration} (reached : Reachable i certificate.places c) :
    bad i certificate.places c (successors i certificate.places c) = false := by
  unfold examine at h
  split at h
  · cases h
  · rename_i cs _
    simp only at h
    split at h
    · cases h
    · rename_i begins
      have all := of_closed h
      have inside : c ∈ cs := by
        induction reached with
        | start => exact mem_of_explored begins
        | step _ moves ih =>
          exact mem_of_explored (mem_of_hasAll (all _ ih).2 _ (mem_successors.mpr moves))
      exact (all c inside).1

theorem examine_of_check {image : CodeImage} {certificate : SafetyCertificate}
    (h : checkCertificate image certificate = true) : examine (image.load []) certificate = .accepted := by
  unfold checkCertificate at h
  split at h
  · assumption
  · cases h

/-- If the checker accepts a certificate of an image, then whatever its roles come to while no buffer holds more than the
certificate's bound of messages, it is no deadlock, nobody is sent a message that it cannot take, and no message waits for a role that is done. -/
theorem safety_certificate_sound {image : CodeImage} {certificate : SafetyCertificate}
    (h : checkCertificate image certificate = true) {c : Configuration}
    (reached : Reachable (image.load []) certificate.places c) :
    ¬ Deadlock (image.load []) certificate.places c ∧ ¬ ReceptionError (image.load []) c ∧
      ¬ Orphan (image.load []) c := by
  have good := good_of_examine (examine_of_check h) reached
  refine ⟨fun d => ?_, fun r => ?_, fun o => ?_⟩
  · exact absurd (bad_of_deadlock d) (by simp [good])
  · exact absurd (good.symm.trans (bad_of_receptionError r)) (by simp)
  · exact absurd (good.symm.trans (bad_of_orphan o)) (by simp)

/-- What `Certificate.lean` accepts is the bytes of an image and of a certificate that proves it safe. -/
theorem judged_sound {b d : Bytes} (h : judge b d = .examined .accepted) :
    ∃ image certificate, decImage b = some (image, []) ∧ readCertificate d = some certificate ∧
      ∀ c, Reachable (image.load []) certificate.places c →
        ¬ Deadlock (image.load []) certificate.places c ∧ ¬ ReceptionError (image.load []) c ∧
          ¬ Orphan (image.load []) c := by
  unfold judge at h
  split at h
  · rename_i image read
    split at h
    · cases h
    · rename_i certificate readToo
      refine ⟨image, certificate, read, readToo, fun c reached => safety_certificate_sound ?_ reached⟩
      simp only [Judged.examined.injEq] at h
      simp [checkCertificate, h]
  · cases h

end Antiphon
