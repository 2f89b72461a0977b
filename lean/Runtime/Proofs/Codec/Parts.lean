module

public import Runtime.Proofs.Codec.Head
public import Runtime.ProtocolMachine.Codec.Action

@[expose] public section

/-!
# The parts of codecs

An encoder and a decoder are *exact* on a range if the decoder inverts the encoder on the range and
accepts only what the encoder produces for an item in the range. Each combinator of decoders
preserves this.
-/

namespace Antiphon

variable {α β : Type}

/-- The decoder inverts the encoder on the range, and it accepts only encodings of items in the
range. -/
structure Exact (fits : α → Bool) (enc : α → Bytes → Bytes) (dec : Bytes → Option (α × Bytes)) : Prop where
  back : ∀ x k, fits x = true → dec (enc x k) = some (x, k)
  only : ∀ b x k, dec b = some (x, k) → enc x k = b ∧ fits x = true

/-! ## Ranges -/

/-- Whether a number is below a limit. -/
def below (limit n : Nat) : Bool := decide (n < limit)

/-- Whether a number has at most 8 bits. -/
def fitsU8 : Nat → Bool := below 256

/-- Whether a number has at most 16 bits. -/
def fitsU16 : Nat → Bool := below 65536

/-- Whether a number has at most 32 bits. -/
def fitsU32 : Nat → Bool := below 4294967296

/-- Whether a number has at most 64 bits. -/
def fitsU64 : Nat → Bool := below headEnd

/-- Whether an integer fits in 64 bits as a signed number. -/
def fitsI64 (i : Int) : Bool := below 9223372036854775808 (intArgument i)

/-- Whether the length of a byte string has at most 64 bits. -/
def fitsBytes (s : Bytes) : Bool := below headEnd (len s)

/-- Whether bytes are UTF-8 whose length has at most 64 bits. -/
def fitsText (s : Bytes) : Bool := fitsBytes s && isUtf8 s

/-- Whether bytes have the length of a digest. -/
def fitsDigest (s : Bytes) : Bool := Nat.beq (len s) 32

/-- Whether there are fewer than `room` items, all in range. -/
@[specialize] def fitsFewer (fits : α → Bool) : List α → Nat → Bool
  | [], room => Nat.blt 0 room
  | x :: xs, room => match fits x with
    | true => fitsFewer fits xs (room - 1)
    | false => false

/-- Whether the number of items has at most 64 bits and all items are in range. -/
@[specialize] def fitsMany (fits : α → Bool) (xs : List α) : Bool := fitsFewer fits xs headEnd

/-- Whether an optional item is absent or in range. -/
@[specialize] def fitsOption (fits : α → Bool) : Option α → Bool
  | none => true
  | some x => fits x

/-- Whether both items of a pair are in range. -/
@[specialize] def fitsPair (first : α → Bool) (second : β → Bool) (p : α × β) : Bool := first p.1 && second p.2

/-! ## Numbers and strings -/

theorem exact_below {limit : Nat} (range : limit ≤ headEnd) : Exact (below limit) encUint (decBelow limit) where
  back n k h := by
    have h : n < limit := by simpa [below] using h
    simp [decBelow, encUint_eq, decMajor_encHead k (by decide : 0 < 8) (Nat.lt_of_lt_of_le h range), h]
  only b n k h := by
    unfold decBelow at h
    split at h
    · cases h
    · rename_i got rest read
      split at h
      · rename_i small
        simp only [Option.some.injEq, Prod.mk.injEq] at h
        obtain ⟨rfl, rfl⟩ := h
        exact ⟨encUint_eq .. ▸ (encHead_decMajor read).1, by simpa [below] using small⟩
      · cases h

theorem exact_u8 : Exact fitsU8 encUint decU8 := exact_below (by decide)

theorem exact_u16 : Exact fitsU16 encUint decU16 := exact_below (by decide)

theorem exact_u32 : Exact fitsU32 encUint decU32 := exact_below (by decide)

theorem exact_u64 : Exact fitsU64 encUint decUint where
  back n k h := by
    have h : n < headEnd := by simpa [fitsU64, below] using h
    rw [encUint_eq]
    exact decMajor_encHead k (by decide) h
  only b n k h := by
    have read := encHead_decMajor h
    exact ⟨encUint_eq .. ▸ read.1, by simpa [fitsU64, below] using read.2⟩

theorem exact_int : Exact fitsI64 encInt (decInt 9223372036854775808) where
  back i k h := by
    have h : intArgument i < 9223372036854775808 := by simpa [fitsI64, below] using h
    cases i with
    | ofNat n =>
      have h : n < 9223372036854775808 := h
      have range : n < headEnd := by unfold headEnd; omega
      simp [decInt, encInt, head_decode_encode k (by decide : 0 < 8) range, h]
    | negSucc n =>
      have h : n < 9223372036854775808 := h
      have range : n < headEnd := by unfold headEnd; omega
      simp [decInt, encInt, head_decode_encode k (by decide : 1 < 8) range, h]
  only b i k h := by
    unfold decInt at h
    split at h
    · cases h
    · rename_i m n rest read
      have same := (head_encode_decode read).1
      split at h
      · rename_i small
        split at h
        · rename_i zero
          simp only [Option.some.injEq, Prod.mk.injEq] at h
          obtain ⟨rfl, rfl⟩ := h
          subst zero
          exact ⟨same, by simpa [fitsI64, below, intArgument] using small⟩
        · split at h
          · rename_i one
            simp only [Option.some.injEq, Prod.mk.injEq] at h
            obtain ⟨rfl, rfl⟩ := h
            subst one
            exact ⟨same, by simpa [fitsI64, below, intArgument] using small⟩
          · cases h
      · cases h

theorem revOnto_eq (b k : Bytes) : revOnto b k = b.reverse ++ k := by
  induction b generalizing k with
  | nil => rfl
  | cons x b ih => simp [revOnto, ih]

theorem putBytes_eq (b k : Bytes) : putBytes b k = b ++ k := by
  simp [putBytes, revOnto_eq]

theorem bytesLen_eq (b : Bytes) (n : Nat) : bytesLen b n = b.length + n := by
  induction b generalizing n with
  | nil => simp [bytesLen]
  | cons x b ih => simp only [bytesLen, ih, List.length_cons]; omega

theorem takeOnto_append (s taken k : Bytes) :
    takeOnto s.length taken (s ++ k) = some (taken.reverse ++ s, k) := by
  induction s generalizing taken with
  | nil => simp [takeOnto, revOnto_eq]
  | cons x s ih => simp [takeOnto, ih]

theorem append_takeOnto {n : Nat} {taken b s k : Bytes} (h : takeOnto n taken b = some (s, k)) :
    ∃ t, t.length = n ∧ s = taken.reverse ++ t ∧ b = t ++ k := by
  induction n generalizing taken b with
  | zero =>
    simp only [takeOnto, revOnto_eq, Option.some.injEq, Prod.mk.injEq] at h
    exact ⟨[], rfl, h.1.symm, h.2⟩
  | succ n ih =>
    cases b with
    | nil => simp [takeOnto] at h
    | cons x b =>
      obtain ⟨t, length, whole, rest⟩ := ih h
      exact ⟨x :: t, by simp [length], by simpa using whole, by simp [rest]⟩

theorem takeBytes_append (s k : Bytes) : takeBytes s.length (s ++ k) = some (s, k) := by
  simp [takeBytes, takeOnto_append]

theorem append_takeBytes {n : Nat} {b s k : Bytes} (h : takeBytes n b = some (s, k)) :
    s ++ k = b ∧ s.length = n := by
  obtain ⟨t, length, whole, rest⟩ := append_takeOnto h
  simp only [List.reverse_nil, List.nil_append] at whole
  subst whole
  exact ⟨rest.symm, length⟩

theorem exact_bytes : Exact fitsBytes encBytes decBytes where
  back s k h := by
    have h : s.length < headEnd := by simpa [fitsBytes, below] using h
    simp [decBytes, encBytes, bytesLen_eq, putBytes_eq, decMajor_encHead (s ++ k) (by decide : 2 < 8) h,
      takeBytes_append]
  only b s k h := by
    unfold decBytes at h
    split at h
    · cases h
    · rename_i n rest read
      obtain ⟨rfl, rfl⟩ := append_takeBytes h
      have read := encHead_decMajor read
      exact ⟨by simpa [encBytes, bytesLen_eq, putBytes_eq] using read.1,
        by simpa [fitsBytes, below] using read.2⟩

theorem exact_text : Exact fitsText encText decText where
  back s k h := by
    have h : s.length < headEnd ∧ isUtf8 s = true := by simpa [fitsText, fitsBytes, below] using h
    simp [decText, encText, bytesLen_eq, putBytes_eq, decMajor_encHead (s ++ k) (by decide : 3 < 8) h.1,
      takeBytes_append, h.2]
  only b s k h := by
    unfold decText at h
    split at h
    · cases h
    · rename_i n rest read
      split at h
      · cases h
      · rename_i s' rest' took
        split at h
        · rename_i utf8
          simp only [Option.some.injEq, Prod.mk.injEq] at h
          obtain ⟨rfl, rfl⟩ := h
          obtain ⟨rfl, rfl⟩ := append_takeBytes took
          have read := encHead_decMajor read
          exact ⟨by simpa [encText, bytesLen_eq, putBytes_eq] using read.1,
            by simpa [fitsText, fitsBytes, below, utf8] using read.2⟩
        · cases h

theorem exact_digest : Exact fitsDigest encBytes decDigest where
  back s k h := by
    have h : s.length = 32 := by simpa [fitsDigest] using h
    have fits : fitsBytes s = true := by simp [fitsBytes, below, h, headEnd]
    simp [decDigest, decFixed, exact_bytes.back s k fits, bytesLen_eq, h]
  only b s k h := by
    unfold decDigest decFixed at h
    split at h
    · cases h
    · rename_i s' rest read
      split at h
      · rename_i length
        simp only [Option.some.injEq, Prod.mk.injEq] at h
        obtain ⟨rfl, rfl⟩ := h
        exact ⟨(exact_bytes.only _ _ _ read).1, by simpa [fitsDigest, bytesLen_eq] using length⟩
      · cases h

/-! ## Combinators -/

/-- Encodes one item and then another. -/
def encThen (first : α → Bytes → Bytes) (second : β → Bytes → Bytes) (p : α × β) (k : Bytes) : Bytes :=
  first p.1 (second p.2 k)

namespace Exact

variable {fits : α → Bool} {enc : α → Bytes → Bytes} {dec : Bytes → Option (α × Bytes)}
  {fits' : β → Bool} {enc' : β → Bytes → Bytes} {dec' : Bytes → Option (β × Bytes)}

theorem both (h : Exact fits enc dec) (h' : Exact fits' enc' dec') :
    Exact (fitsPair fits fits') (encThen enc enc') (decThen dec dec') where
  back p k f := by
    have f : fits p.1 = true ∧ fits' p.2 = true := by simpa [fitsPair] using f
    simp [decThen, encThen, h.back _ _ f.1, h'.back _ _ f.2]
  only b p k r := by
    unfold decThen at r
    split at r
    · cases r
    · rename_i x rest read
      split at r
      · cases r
      · rename_i y rest' read'
        simp only [Option.some.injEq, Prod.mk.injEq] at r
        obtain ⟨rfl, rfl⟩ := r
        obtain ⟨same, f⟩ := h.only _ _ _ read
        obtain ⟨same', f'⟩ := h'.only _ _ _ read'
        exact ⟨by simp [encThen, same, same'], by simp [fitsPair, f, f']⟩

theorem fields (h : Exact fits enc dec) (n : Nat) (range : n < headEnd) :
    Exact fits (fun x k => encArrayHead n (enc x k)) (decFields n dec) where
  back x k f := by
    simp [decFields, decArrayHead, encArrayHead_eq, decMajor_encHead _ (by decide : 4 < 8) range, h.back x k f]
  only b x k r := by
    unfold decFields decArrayHead at r
    split at r
    · cases r
    · rename_i got rest read
      split at r
      · rename_i same
        obtain ⟨eq, f⟩ := h.only _ _ _ r
        exact ⟨by simp [encArrayHead_eq, eq, ← same, (encHead_decMajor read).1], f⟩
      · cases r

theorem pair (h : Exact fits enc dec) (h' : Exact fits' enc' dec') :
    Exact (fitsPair fits fits') (encPair enc enc') (decPair dec dec') :=
  (h.both h').fields 2 (by decide)

/-- A codec stays exact when its items are converted to another type and back. -/
theorem as (h : Exact fits enc dec) (to : α → β) (of : β → α) (there : ∀ y, to (of y) = y)
    (back : ∀ x, of (to x) = x) (he : ∀ y k, enc' y k = enc (of y) k) (hf : ∀ y, fits' y = fits (of y)) :
    Exact fits' enc' (decAs to dec) where
  back y k f := by
    simp [decAs, he, h.back (of y) k (hf y ▸ f), there]
  only b y k r := by
    unfold decAs at r
    split at r
    · cases r
    · rename_i x rest read
      simp only [Option.some.injEq, Prod.mk.injEq] at r
      obtain ⟨rfl, rfl⟩ := r
      obtain ⟨eq, f⟩ := h.only _ _ _ read
      exact ⟨by rw [he, back, eq], by rw [hf, back, f]⟩

theorem backAs (h : Exact fits enc dec) (to : α → β) {x : α} {k : Bytes} (f : fits x = true) :
    decAs to dec (enc x k) = some (to x, k) := by
  simp [decAs, h.back x k f]

theorem onlyAs (h : Exact fits enc dec) {to : α → β} {b : Bytes} {y : β} {k : Bytes}
    (r : decAs to dec b = some (y, k)) : ∃ x, to x = y ∧ enc x k = b ∧ fits x = true := by
  unfold decAs at r
  split at r
  · cases r
  · rename_i x rest read
    simp only [Option.some.injEq, Prod.mk.injEq] at r
    obtain ⟨rfl, rfl⟩ := r
    exact ⟨x, rfl, h.only _ _ _ read⟩

theorem such (h : Exact fits enc dec) (p : α → Bool) :
    Exact (fun x => fits x && p x) enc (decWhere p dec) where
  back x k f := by
    have f : fits x = true ∧ p x = true := by simpa using f
    simp [decWhere, h.back x k f.1, f.2]
  only b x k r := by
    unfold decWhere at r
    split at r
    · cases r
    · rename_i x' rest read
      split at r
      · rename_i holds
        simp only [Option.some.injEq, Prod.mk.injEq] at r
        obtain ⟨rfl, rfl⟩ := r
        obtain ⟨eq, f⟩ := h.only _ _ _ read
        exact ⟨eq, by simp [f, holds]⟩
      · cases r

/-- The codec of an option is exact if the decoder of its item rejects empty input and everything
that starts with `null`. -/
theorem option (h : Exact fits enc dec) (empty : dec [] = none) (null : ∀ k, dec (246 :: k) = none) :
    Exact (fitsOption fits) (encOption enc) (decOption dec) where
  back x k f := by
    cases x with
    | none => simp [decOption, encOption, encNull]
    | some x =>
      have took := h.back x k f
      simp only [encOption]
      generalize enc x k = b at took
      cases b with
      | nil => simp [empty] at took
      | cons y b =>
        by_cases same : y = 246
        · subst same
          simp [null] at took
        · simp [decOption, same, took]
  only b x k r := by
    cases b with
    | nil => simp [decOption] at r
    | cons y b =>
      simp only [decOption] at r
      split at r
      · rename_i same
        simp only [Option.some.injEq, Prod.mk.injEq] at r
        obtain ⟨rfl, rfl⟩ := r
        exact ⟨by simp [encOption, encNull, same], rfl⟩
      · split at r
        · cases r
        · rename_i x' rest read
          simp only [Option.some.injEq, Prod.mk.injEq] at r
          obtain ⟨rfl, rfl⟩ := r
          exact h.only _ _ _ read

end Exact

/-! ## Arrays -/

theorem count_eq (xs : List α) : count xs = xs.length := by
  induction xs with
  | nil => rfl
  | cons x xs ih => simp [count, ih]

variable {fits : α → Bool} {enc : α → Bytes → Bytes} {dec : Bytes → Option (α × Bytes)}

theorem decItems_encItems (h : Exact fits enc dec) (xs : List α) (k : Bytes) (f : every fits xs = true) :
    decItems dec xs.length (encItems enc xs k) = some (xs, k) := by
  induction xs with
  | nil => rfl
  | cons x xs ih =>
    have f : fits x = true ∧ every fits xs = true := by simpa using f
    simp [decItems, encItems, h.back _ _ f.1, ih f.2]

theorem encItems_decItems (h : Exact fits enc dec) {n : Nat} {b : Bytes} {xs : List α} {k : Bytes}
    (r : decItems dec n b = some (xs, k)) :
    encItems enc xs k = b ∧ xs.length = n ∧ every fits xs = true := by
  induction n generalizing b xs with
  | zero =>
    simp only [decItems, Option.some.injEq, Prod.mk.injEq] at r
    obtain ⟨rfl, rfl⟩ := r
    exact ⟨rfl, rfl, rfl⟩
  | succ n ih =>
    simp only [decItems] at r
    split at r
    · cases r
    · rename_i x rest read
      split at r
      · cases r
      · rename_i xs' rest' reads
        simp only [Option.some.injEq, Prod.mk.injEq] at r
        obtain ⟨rfl, rfl⟩ := r
        obtain ⟨eq, f⟩ := h.only _ _ _ read
        obtain ⟨eqs, length, fs⟩ := ih reads
        exact ⟨by simp [encItems, eqs, eq], by simp [length], by simpa [f] using fs⟩

theorem fitsFewer_iff {xs : List α} {room : Nat} :
    fitsFewer fits xs room = true ↔ xs.length < room ∧ every fits xs = true := by
  induction xs generalizing room with
  | nil => simp [fitsFewer]
  | cons x xs ih =>
    cases h : fits x
    · simp [fitsFewer, h]
    · simp only [fitsFewer, h, ih, every, List.length_cons]
      constructor
      all_goals
        rintro ⟨fewer, all⟩
        exact ⟨by omega, all⟩

theorem Exact.array (h : Exact fits enc dec) : Exact (fitsMany fits) (encArray enc) (decArray dec) where
  back xs k f := by
    have f : xs.length < headEnd ∧ every fits xs = true := fitsFewer_iff.mp f
    simp [decArray, decArrayHead, encArray, encArrayHead_eq, count_eq,
      decMajor_encHead _ (by decide : 4 < 8) f.1, decItems_encItems h xs k f.2]
  only b xs k r := by
    unfold decArray decArrayHead at r
    split at r
    · cases r
    · rename_i n rest read
      obtain ⟨eq, rfl, f⟩ := encItems_decItems h r
      have read := encHead_decMajor read
      exact ⟨by simp [encArray, encArrayHead_eq, count_eq, eq, read.1],
        fitsFewer_iff.mpr ⟨read.2, f⟩⟩

/-! ## Alternatives -/

theorem nothing {x y : α} {b k : Bytes} (r : decNothing x b = some (y, k)) : x = y ∧ b = k := by
  simpa [decNothing] using r

/-- A codec of alternatives is exact if each alternative's encoding is its tag followed by fields
for which encoder and decoder agree. -/
theorem Exact.alternative {of : Nat → Nat → Bytes → Option (α × Bytes)}
    (back : ∀ x k, fits x = true → ∃ n number r,
      enc x k = encTag n number r ∧ n < headEnd ∧ number < headEnd ∧ of number n r = some (x, k))
    (only : ∀ number n b x k, n < headEnd → of number n b = some (x, k) →
      enc x k = encTag n number b ∧ fits x = true) :
    Exact fits enc (decAlternative of) where
  back x k f := by
    obtain ⟨n, number, r, eq, range, range', took⟩ := back x k f
    simp [decAlternative, eq, encTag, decArrayHead, decUint, encArrayHead_eq, encUint_eq,
      decMajor_encHead _ (by decide : 4 < 8) range, decMajor_encHead _ (by decide : 0 < 8) range', took]
  only b x k r := by
    unfold decAlternative decArrayHead decUint at r
    split at r
    · cases r
    · rename_i n rest read
      split at r
      · cases r
      · rename_i number rest' read'
        obtain ⟨eq, f⟩ := only _ _ _ _ _ (encHead_decMajor read).2 r
        exact ⟨by simp [eq, encTag, encArrayHead_eq, encUint_eq, (encHead_decMajor read').1,
          (encHead_decMajor read).1], f⟩

end Antiphon
