module

public import Runtime.ProtocolMachine.Codec.StateDecode
public import Runtime.Proofs.Codec.Case

@[expose] public section

/-!
# The codec of a machine's state is exact

The canonical bytes of a state determine it, for one configuration and one list of images with
pairwise different digests. The states are those whose numbers fit in the bytes: `Machine.fits`,
which can be evaluated.
-/

namespace Antiphon

/-! ## Ranges -/

/-- Whether what a coroutine waits for can be encoded and decoded. -/
def On.fits : On → Bool
  | .empty edge => fitsU64 edge
  | .full edge => fitsU64 edge
  | .effect number => fitsU64 number

/-- Whether a status can be encoded and decoded. -/
def Status.fits : Status → Bool
  | .blocked on => on.fits
  | .ready | .halted | .faulted => true

/-- Whether an endpoint can be encoded and decoded. -/
def Endpoint.fits (e : Endpoint) : Bool := fitsU64 e.holder && fitsU64 e.state

/-- Whether a coroutine can be encoded and decoded. -/
def Coroutine.fits (c : Coroutine) : Bool :=
  fitsU64 c.program && (fitsOption fitsU64 c.role && (fitsU64 c.priority && (c.status.fits &&
    (fitsU64 c.pc && fitsMany Value.fits c.registers))))

/-- Whether a message in a buffer can be encoded and decoded. -/
def Parcel.fits (p : Parcel) : Bool := p.payload.fits && (fitsU64 p.sequence && fitsU64 p.label)

/-- Whether a buffer can be encoded and decoded. -/
def Edge.fits (e : Edge) : Bool := fitsU64 e.sent && fitsMany Parcel.fits e.queue

/-- Whether an outstanding effect can be encoded and decoded. -/
def Effect.fits (e : Effect) : Bool :=
  fitsU64 e.number && (fitsOption fitsU64 e.deadline && (fitsU64 e.operation && (fitsU64 e.coroutine &&
    fitsU64 e.attempt)))

/-- Whether a live witness can be encoded and decoded. -/
def Witness.fits (w : Witness) : Bool := fitsU64 w.number && (fitsU64 w.expires && fitsU64 w.effect)

/-- Whether an image exists in this row. -/
def fitsRow (images : List Loaded) (row : Nat) : Bool := Nat.blt row (len images)

/-- Whether a session's lists can be encoded and decoded. -/
def Session.listsFit (s : Session) : Bool :=
  fitsMany Endpoint.fits s.endpoints && (fitsMany Coroutine.fits s.coroutines &&
    (fitsMany Edge.fits s.edges && (fitsMany Effect.fits s.effects &&
      (fitsMany Witness.fits s.witnesses && fitsText s.owner))))

/-- Whether a session can be encoded and decoded: its image exists and every number fits in 64
bits. -/
def Session.fits (images : List Loaded) (s : Session) : Bool :=
  fitsU64 s.id && (fitsRow images s.image && (fitsU64 s.live && (fitsU64 s.epoch &&
    (fitsU64 s.events && (fitsU64 s.effectsIssued && (fitsU64 s.witnessesIssued && s.listsFit))))))

/-- Whether a machine's state can be encoded and decoded. -/
def Machine.fits (m : Machine) : Bool :=
  fitsU64 m.stepIndex && (fitsU64 m.clock && (fitsMany Pick.fits m.queue &&
    fitsMany (Session.fits m.images) m.sessions))

/-- Every image has a digest of 32 bytes, and no two images have the same. -/
structure DigestsDiffer (images : List Loaded) : Prop where
  digests : ∀ i ∈ images, i.digest.length = 32
  differ : images.Pairwise fun a b => a.digest ≠ b.digest

/-! ## Parts -/

theorem exact_ending : Exact (fun _ => true) (fun e => encUint (Ending.number e)) decEnding where
  back e k _ := by
    cases e <;> simp [Ending.number, decEnding, decUint_small]
  only b e k r := by
    unfold decEnding at r
    split at r
    case h_4 => cases r
    all_goals
      rename_i read
      simp only [Option.some.injEq, Prod.mk.injEq] at r
      obtain ⟨rfl, rfl⟩ := r
      exact ⟨(exact_u64.only _ _ _ read).1, rfl⟩

theorem exact_witnessKind : Exact (fun _ => true) (fun w => encUint (WitnessKind.number w)) decWitnessKind where
  back w k _ := by
    cases w <;> simp [WitnessKind.number, decWitnessKind, decUint_small]
  only b w k r := by
    unfold decWitnessKind at r
    split at r
    case h_3 => cases r
    all_goals
      rename_i read
      simp only [Option.some.injEq, Prod.mk.injEq] at r
      obtain ⟨rfl, rfl⟩ := r
      exact ⟨(exact_u64.only _ _ _ read).1, rfl⟩

theorem exact_phase : Exact (fun _ => true) encPhase decPhase := by
  refine .alternative (fun p k f => ?_) (fun number n b p k _ r => ?_)
  · cases p with
    | active => exact ⟨1, 0, k, rfl, by decide, by decide, rfl⟩
    | terminal how => exact ⟨2, 1, _, rfl, by decide, by decide, exact_ending.backAs _ (x := how) f⟩
  · unfold decPhaseOf at r
    split at r
    · obtain ⟨rfl, rfl⟩ := nothing r
      exact ⟨rfl, rfl⟩
    · obtain ⟨how, rfl, rfl, f⟩ := exact_ending.onlyAs r
      exact ⟨rfl, f⟩
    · cases r

theorem exact_on : Exact On.fits encOn decOn := by
  refine .alternative (fun o k f => ?_) (fun number n b o k _ r => ?_)
  · cases o with
    | empty edge => exact ⟨2, 0, _, rfl, by decide, by decide, exact_u64.backAs _ (x := edge) f⟩
    | full edge => exact ⟨2, 1, _, rfl, by decide, by decide, exact_u64.backAs _ (x := edge) f⟩
    | effect number => exact ⟨2, 2, _, rfl, by decide, by decide, exact_u64.backAs _ (x := number) f⟩
  · unfold decOnOf at r
    split at r
    iterate 3
      · obtain ⟨x, rfl, rfl, f⟩ := exact_u64.onlyAs r
        exact ⟨rfl, f⟩
    · cases r

theorem exact_status : Exact Status.fits encStatus decStatus := by
  refine .alternative (fun s k f => ?_) (fun number n b s k _ r => ?_)
  · cases s with
    | ready => exact ⟨1, 0, k, rfl, by decide, by decide, rfl⟩
    | blocked on => exact ⟨2, 1, _, rfl, by decide, by decide, exact_on.backAs _ (x := on) f⟩
    | halted => exact ⟨1, 2, k, rfl, by decide, by decide, rfl⟩
    | faulted => exact ⟨1, 3, k, rfl, by decide, by decide, rfl⟩
  · unfold decStatusOf at r
    split at r
    · obtain ⟨rfl, rfl⟩ := nothing r
      exact ⟨rfl, rfl⟩
    · obtain ⟨on, rfl, rfl, f⟩ := exact_on.onlyAs r
      exact ⟨rfl, f⟩
    iterate 2
      · obtain ⟨rfl, rfl⟩ := nothing r
        exact ⟨rfl, rfl⟩
    · cases r

theorem exact_endpoint : Exact Endpoint.fits encEndpoint decEndpoint :=
  ((exact_u64.both exact_u64).fields 2 (by decide)).as _ (fun e => (e.holder, e.state))
    (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl) (fun _ => rfl)

theorem exact_coroutine : Exact Coroutine.fits encCoroutine decCoroutine :=
  ((exact_u64.both (exact_u64Option.both (exact_u64.both (exact_status.both (exact_u64.both
    exact_value.array))))).fields 6 (by decide)).as _
    (fun c => (c.program, c.role, c.priority, c.status, c.pc, c.registers))
    (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl) (fun _ => rfl)

theorem exact_parcel : Exact Parcel.fits encParcel decParcel :=
  ((exact_value.both (exact_u64.both exact_u64)).fields 3 (by decide)).as _
    (fun p => (p.payload, p.sequence, p.label)) (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl) (fun _ => rfl)

theorem exact_edge : Exact Edge.fits encEdge decEdge :=
  ((exact_u64.both exact_parcel.array).fields 2 (by decide)).as _ (fun e => (e.sent, e.queue))
    (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl) (fun _ => rfl)

theorem exact_effect : Exact Effect.fits encEffect decEffect :=
  ((exact_u64.both (exact_u64Option.both (exact_u64.both (exact_u64.both exact_u64)))).fields 5
    (by decide)).as _ (fun e => (e.number, e.deadline, e.operation, e.coroutine, e.attempt))
    (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl) (fun _ => rfl)

theorem exact_witness : Exact Witness.fits encWitness decWitness :=
  ((exact_u64.both (exact_u64.both (exact_u64.both exact_witnessKind))).fields 4 (by decide)).as _
    (fun w => (w.number, w.expires, w.effect, w.kind)) (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl)
    (fun w => by simp [Witness.fits, fitsPair])

theorem exact_queued : Exact Pick.fits encPick decQueued := exact_pick

/-! ## Images by digest -/

/-- Equal byte strings are found equal, and only those. -/
theorem sameBytes_true {a b : Bytes} : sameBytes a b = true ↔ a = b := by
  induction a generalizing b with
  | nil => cases b <;> simp [sameBytes]
  | cons x xs ih =>
    cases b with
    | nil => simp [sameBytes]
    | cons y ys => by_cases h : x = y <;> simp [sameBytes, h, ih]

/-- The row that is found for a digest has an image with this digest. -/
theorem imageRow_digest {digest : Bytes} {images : List Loaded} {n : Nat} {row : Nat × Loaded}
    (h : imageRow digest n images = some row) :
    n ≤ row.1 ∧ images[row.1 - n]? = some row.2 ∧ row.2.digest = digest := by
  induction images generalizing n with
  | nil => simp [imageRow] at h
  | cons i is ih =>
    simp only [imageRow] at h
    split at h
    · rename_i same
      simp only [Option.some.injEq] at h
      subst h
      exact ⟨Nat.le_refl n, by simp, sameBytes_true.mp same⟩
    · obtain ⟨least, at', same⟩ := ih h
      have step : row.1 - n = row.1 - (n + 1) + 1 := by omega
      exact ⟨by omega, by rw [step]; simpa using at', same⟩

/-- If digests differ, the row found for an image's digest is the image's row. -/
theorem imageRow_of_differ {images : List Loaded} (differ : images.Pairwise fun a b => a.digest ≠ b.digest)
    {row : Nat} {i : Loaded} (h : images[row]? = some i) (n : Nat) :
    imageRow i.digest n images = some (n + row, i) := by
  induction images generalizing row n with
  | nil => simp at h
  | cons j js ih =>
    cases row with
    | zero =>
      simp only [List.getElem?_cons_zero, Option.some.injEq] at h
      subst h
      simp [imageRow, sameBytes_true.mpr rfl]
    | succ row =>
      simp only [List.getElem?_cons_succ] at h
      obtain ⟨first, rest⟩ := List.pairwise_cons.mp differ
      have other : sameBytes j.digest i.digest = false := by
        have := first i (List.mem_of_getElem? h)
        cases same : sameBytes j.digest i.digest with
        | false => rfl
        | true => exact absurd (sameBytes_true.mp same) this
      simp only [imageRow, other, ih rest h (n + 1), Option.some.injEq, Prod.mk.injEq, and_true]
      omega

theorem exact_imageRow {images : List Loaded} (digests : DigestsDiffer images) :
    Exact (fitsRow images) (fun row => encBytes (digestOf images row)) (decImageRow images) where
  back row k f := by
    have f : row < images.length := by simpa [fitsRow] using f
    have found : images[row]? = some images[row] := List.getElem?_eq_getElem f
    have length := digests.digests images[row] (List.getElem_mem f)
    have read := exact_digest.back images[row].digest k (by simp [fitsDigest, length])
    have same : digestOf images row = images[row].digest := by simp [digestOf, found]
    simp [decImageRow, same, read, imageRow_of_differ digests.differ found]
  only b row k r := by
    unfold decImageRow at r
    split at r
    · cases r
    · rename_i digest rest read
      split at r
      · cases r
      · rename_i found look
        simp only [Option.some.injEq, Prod.mk.injEq] at r
        obtain ⟨rfl, rfl⟩ := r
        obtain ⟨-, at', same⟩ := imageRow_digest look
        have at' : images[found.1]? = some found.2 := by simpa using at'
        have small := (List.getElem?_eq_some_iff.mp at').1
        refine ⟨?_, by simpa [fitsRow] using small⟩
        have : digestOf images found.1 = digest := by simp [digestOf, at', same]
        rw [this]
        exact (exact_digest.only _ _ _ read).1

/-! ## Sessions and machines -/

theorem exact_session {images : List Loaded} (digests : DigestsDiffer images) :
    Exact (Session.fits images) (fun s => encSession (digestOf images s.image) s) (decSession images) :=
  ((exact_u64.both ((exact_imageRow digests).both (exact_phase.both (exact_u64.both (exact_u64.both
    (exact_u64.both (exact_u64.both (exact_u64.both (exact_endpoint.array.both
      (exact_coroutine.array.both (exact_edge.array.both (exact_effect.array.both
        (exact_witness.array.both exact_text)))))))))))))
    |>.fields 14 (by decide)).as _
    (fun s => (s.id, s.image, s.phase, s.live, s.epoch, s.events, s.effectsIssued, s.witnessesIssued,
      s.endpoints, s.coroutines, s.edges, s.effects, s.witnesses, s.owner))
    (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl)
    (fun s => by simp [Session.fits, Session.listsFit, fitsPair])

theorem encSessions_eq (images : List Loaded) (ss : List Session) (k : Bytes) :
    encSessions images ss k = encItems (fun s => encSession (digestOf images s.image) s) ss k := by
  induction ss with
  | nil => rfl
  | cons s ss ih => simp [encSessions, encItems, ih]

theorem exact_machineTag : Exact (fun _ => true) (fun _ => encText machineTag) decMachineTag where
  back x k _ := by
    have read := exact_text.back machineTag k (by decide +kernel)
    simp [decMachineTag, read, sameBytes_true.mpr rfl]
  only b x k r := by
    unfold decMachineTag at r
    split at r
    · cases r
    · rename_i s rest read
      split at r
      · rename_i same
        simp only [Option.some.injEq, Prod.mk.injEq] at r
        obtain ⟨-, rfl⟩ := r
        rw [← sameBytes_true.mp same]
        exact ⟨(exact_text.only _ _ _ read).1, rfl⟩
      · cases r

/-- What the bytes of a machine's state contain, in their order. -/
abbrev MachineParts := Unit × Nat × Nat × List Pick × List Session

/-- The machine with this configuration, these images and these parts. -/
def machineOf (config : ProtocolMachineConfig) (images : List Loaded) (p : MachineParts) : Machine :=
  { config, images, stepIndex := p.2.1, clock := p.2.2.1, queue := p.2.2.2.1, sessions := p.2.2.2.2 }

/-- The parts of a machine. -/
def Machine.parts (m : Machine) : MachineParts := ((), m.stepIndex, m.clock, m.queue, m.sessions)

/-- The encoder of a machine's parts. -/
noncomputable def encParts (images : List Loaded) (p : MachineParts) (k : Bytes) : Bytes :=
  encArrayHead 5 (encThen (fun _ => encText machineTag) (encThen encUint (encThen encUint
    (encThen (encArray encPick) (encArray fun s => encSession (digestOf images s.image) s)))) p k)

/-- The range of a machine's parts. -/
noncomputable def fitsParts (images : List Loaded) (p : MachineParts) : Bool :=
  fitsPair (fun _ => true) (fitsPair fitsU64 (fitsPair fitsU64 (fitsPair (fitsMany Pick.fits)
    (fitsMany (Session.fits images))))) p

theorem exact_parts {images : List Loaded} (digests : DigestsDiffer images) :
    Exact (fitsParts images) (encParts images) (decFields 5 (decThen decMachineTag (decThen decUint
      (decThen decUint (decThen (decArray decQueued) (decArray (decSession images))))))) :=
  (exact_machineTag.both (exact_u64.both (exact_u64.both (exact_queued.array.both
    (exact_session digests).array)))).fields 5 (by decide)

theorem encMachine_eq (m : Machine) (k : Bytes) : encMachine m k = encParts m.images m.parts k := by
  simp [encMachine, encParts, encThen, Machine.parts, encArray, encSessions_eq]

theorem fits_eq (m : Machine) : m.fits = fitsParts m.images m.parts := by
  simp [Machine.fits, fitsParts, Machine.parts, fitsPair]

/-- Decoding a machine's canonical bytes, with its configuration and its images, returns the
machine and the bytes after them. -/
theorem machine_decode_encode {m : Machine} (digests : DigestsDiffer m.images) (f : m.fits = true)
    (k : Bytes) : decMachine m.config m.images (encMachine m k) = some (m, k) := by
  rw [encMachine_eq]
  exact (exact_parts digests).backAs (machineOf m.config m.images) (x := m.parts) (fits_eq m ▸ f)

/-- If the decoder returns a machine, the bytes that it consumed are that machine's canonical bytes,
and the machine is in range and has the given configuration and images. -/
theorem machine_encode_decode {config : ProtocolMachineConfig} {images : List Loaded} {b : Bytes}
    {m : Machine} {k : Bytes} (digests : DigestsDiffer images)
    (r : decMachine config images b = some (m, k)) :
    encMachine m k = b ∧ m.fits = true ∧ m.config = config ∧ m.images = images := by
  obtain ⟨p, rfl, eq, f⟩ := (exact_parts digests).onlyAs (to := machineOf config images) r
  exact ⟨by rw [encMachine_eq]; exact eq, by rw [fits_eq]; exact f, rfl, rfl⟩

/-- For one configuration and one list of images, machines with equal canonical bytes are equal.
This also holds for a state at the start of longer bytes. -/
theorem encMachine_injective {m m' : Machine} (config : m.config = m'.config)
    (images : m.images = m'.images) (digests : DigestsDiffer m.images) (f : m.fits = true)
    (f' : m'.fits = true) {k k' : Bytes} (same : encMachine m k = encMachine m' k') :
    m = m' ∧ k = k' := by
  have one := machine_decode_encode digests f k
  have other := machine_decode_encode (images ▸ digests) f' k'
  rw [same, config, images, other] at one
  simp only [Option.some.injEq, Prod.mk.injEq] at one
  exact ⟨one.1.symm, one.2.symm⟩

end Antiphon
