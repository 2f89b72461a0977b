module

public import Runtime.ProtocolMachine.Safety.Codec
public import Runtime.Proofs.Safety.Moves

@[expose] public section

/-!
# The safety certificate

If the checker accepts a certificate, no bad configuration is reachable while no buffer holds more
messages than the certificate's bound.
-/

namespace Antiphon

/-! ## The search tree finds only what is in the list -/

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

/-- An accepted certificate contains every reachable configuration, and none of these is bad. -/
theorem inside_of_examine {i : Loaded} {certificate : SafetyCertificate} (h : examine i certificate = .accepted) :
    ∃ cs, unpackRows i certificate.places 0 [] certificate.rows = .ok cs ∧ ∀ {c}, Reachable i certificate.places c →
      c ∈ cs ∧ bad i certificate.places c (successors i certificate.places c) = false := by
  unfold examine at h
  split at h
  · cases h
  · rename_i cs unpacked
    simp only at h
    split at h
    · cases h
    · rename_i begins
      have all := of_closed h
      refine ⟨cs, unpacked, fun {c} reached => ?_⟩
      have inside : c ∈ cs := by
        induction reached with
        | start => exact mem_of_explored begins
        | step _ moves ih =>
          exact mem_of_explored (mem_of_hasAll (all _ ih).2 _ (mem_successors.mpr moves))
      exact ⟨inside, (all c inside).1⟩

/-- If the checker accepts a certificate, no reachable configuration is bad. -/
theorem good_of_examine {i : Loaded} {certificate : SafetyCertificate} (h : examine i certificate = .accepted)
    {c : Configuration} (reached : Reachable i certificate.places c) :
    bad i certificate.places c (successors i certificate.places c) = false := by
  obtain ⟨_, _, all⟩ := inside_of_examine h
  exact (all reached).2

theorem examine_of_check {image : CodeImage} {certificate : SafetyCertificate}
    (h : checkCertificate image certificate = true) : examine (image.load []) certificate = .accepted := by
  unfold checkCertificate at h
  split at h
  · assumption
  · cases h

/-- If the checker accepts a certificate of an image, then no configuration that its roles can reach
while no buffer holds more messages than the certificate's bound is a deadlock, has a next message
that its receiver cannot take, or has a message for a role that is done. -/
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

/-! ## Larger buffers -/

/-- A step with smaller buffers is also a step with larger ones. -/
theorem Moves.larger {i : Loaded} {bound more : Nat} (larger : bound ≤ more) {c d : Configuration}
    (h : Moves i bound c d) : Moves i more c d := by
  cases h with
  | send stands act buffer room branch => exact .send stands act buffer (Nat.lt_of_lt_of_le room larger) branch
  | receive stands act buffer branch => exact .receive stands act buffer branch

theorem lacksRoom_of_below {i : Loaded} {bound : Nat} {c : Configuration} (n : Nat) (h : roomyBelow i bound c n = true) :
    ∀ role, role < n → c.lacksRoom i bound role = false := by
  induction n with
  | zero => intro role lt; omega
  | succ n ih =>
    unfold roomyBelow at h
    split at h
    · cases h
    · rename_i last
      intro role lt
      by_cases same : role = n
      · exact same ▸ last
      · exact ih h role (by omega)

theorem roomy_mem {i : Loaded} {bound : Nat} {cs : List Configuration} (h : roomy i bound cs = true) :
    ∀ c ∈ cs, roomyBelow i bound c c.states.length = true := by
  induction cs with
  | nil => simp
  | cons x xs ih =>
    unfold roomy at h
    split at h
    · rename_i first
      intro c mem
      cases mem with
      | head => simpa using first
      | tail _ mem => exact ih h c mem
    · cases h

/-- If no role is about to send into a full buffer, a step with larger buffers is also a step with
smaller ones. -/
theorem Moves.smaller {i : Loaded} {bound more : Nat} {c d : Configuration} (h : Moves i more c d)
    (room : roomyBelow i bound c c.states.length = true) : Moves i bound c d := by
  cases h with
  | @send role p label labels t stands act buffer _ branch =>
    have free := lacksRoom_of_below _ room role (point_lt stands)
    simp only [Configuration.lacksRoom, stands, act, getAt_eq, buffer, len_eq] at free
    refine .send stands act buffer (Nat.lt_of_not_le fun full => ?_) branch
    rw [Nat.ble_eq_true_of_le full] at free
    cases free
  | receive stands act buffer branch => exact .receive stands act buffer branch

/-- If the checker accepts a certificate of an image and no role waits for room in any configuration
of the certificate, then every configuration that the image's roles can reach with larger buffers is
one that they can reach with the certificate's, and it is not a deadlock, has no next message that
its receiver cannot take, and has no message for a role that is done. -/
theorem certified_safe_larger_buffers {image : CodeImage} {certificate : SafetyCertificate}
    (h : checkCertificate image certificate = true) (room : hasRoom image certificate = true) {bound : Nat}
    (larger : certificate.places ≤ bound) {c : Configuration} (reached : Reachable (image.load []) bound c) :
    Reachable (image.load []) certificate.places c ∧ ¬ Deadlock (image.load []) bound c ∧
      ¬ ReceptionError (image.load []) c ∧ ¬ Orphan (image.load []) c := by
  obtain ⟨cs, unpacked, all⟩ := inside_of_examine (examine_of_check h)
  simp only [hasRoom, unpacked] at room
  have same : Reachable (image.load []) certificate.places c := by
    induction reached with
    | start => exact .start
    | step _ moves ih => exact ih.step (moves.smaller (roomy_mem room _ (all ih).1))
  have ⟨deadlock, others⟩ := safety_certificate_sound h same
  exact ⟨same, fun d => deadlock ⟨d.1, fun e moves => d.2 e (moves.larger larger)⟩, others⟩

/-- If `judge` accepts two byte strings, they are the encodings of an image and of a certificate,
and no configuration that the image's roles can reach within the certificate's bound is a deadlock,
has a next message that its receiver cannot take, or has a message for a role that is done. -/
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
