module

public import Runtime.Proofs.Codec

@[expose] public section

/-!
# Tests of the codec's theorems

Items for which the theorems' hypotheses hold, and faulty codecs that each break a theorem of
`Proofs/Codec.lean`.
-/

namespace Antiphon.Tests.Codec

/-! ## The hypotheses can hold -/

/-- A value with every form in it. -/
def value : Value :=
  .record [.unit, .bool true, .nat 18446744073709551615, .int (-9223372036854775808), .text [195, 164],
    .bytes [255], .list [.nat 1, .nat 24, .list []], .endpoint 65535, .evidence 4294967296]

example : value.fits = true := by decide

example : encValue (.record [.unit, .int (-1), .list [.nat 24]]) [7] = [132, 2, 246, 130, 0, 32, 130, 1, 24, 24, 7] := by
  decide

/-- An image with every kind of row in it. -/
def image : CodeImage where
  name := [97]
  version := 1
  roles := [{ name := [98], states := [.send 1 [{ label := 0, sort := 0, next := 1 }], .recv 1 [], .done] }]
  labels := [[99]]
  sorts := [.unit, .list 0, .record [100] [([101], 0)], .enum [102] [[103]], .foreign [104], .arm [0]]
  interfaces := [{ name := [105], version := 4294967295 }]
  operations := [{ interface := 0, name := [106], cls := .decide [0] 1, args := [0], result := 0,
                   budget := some 9, retries := 255 }]
  programs := [{ name := [107], registers := 2, code := [
    .send 0 0 1, .receive 0 0 1, .offer 0 1 [{ label := 0, val := 1, target := 3 }], .choose 0 1 [(0, 3)],
    .invoke 0 [1] 1 none, .check 0 [1] 1 0 (some 2), .spawn 1 [0] 1, .set 1 value, .move 0 1, .jump 0,
    .branch 1 [(18446744073709551615, 0)], .yield, .close, .halt] }]

example : image.fits = true := by decide

def config : ProtocolMachineConfig where
  policy := .progressAware
  priorities := [([97], 1), ([98], 0)]
  bufferMax := 1
  payloadMax := 64
  coroutinesMax := 4
  sessionsMax := 4
  witnessesMax := 4
  witnessTtl := 10
  effectBudget := some 5
  determinismMode := .replay

/-- A case with every kind of action in it. -/
def case : Case where
  name := [110]
  images := [(copies 32 7, image)]
  config
  actions := [.turn, .input (.open (copies 32 7) [111]), .input (.outcome { session := 0, number := 1 } (.success value)),
    .input (.outcome { session := 0, number := 2 } (.failure .lost [112])), .input (.advanceClock 3),
    .input (.cancel 0 [111]), .pick { session := 0, coroutine := 1 }, .round 2 1,
    .wave { stepIndex := 1, queue := [{ session := 0, coroutine := 0 }],
            picks := [{ pick := { session := 0, coroutine := 0 }, lane := 0, quantum := 1,
                        footprint := [.ledger 0, .coroutine 0 0, .endpoint 0 0, .edge 0 0] }] }]

example : case.fits = true := by decide

/-- An outcome of each kind is in range, and so is an input. -/
example : (Outcome.success value).fits = true ∧ (Outcome.failure .lost [112]).fits = true ∧
    (Ingress.outcome { session := 0, number := 2 } (.failure .lost [112])).fits = true := by decide

/-- The hypotheses of `outcome_encode_decode`, `ingress_encode_decode`, `image_encode_decode` and
`case_encode_decode` hold for some bytes. -/
example : (decOutcome [130, 1, 130, 7, 97, 112, 9]).isSome = true ∧ (decIngress [130, 2, 3]).isSome = true ∧
    (decImage (encImage image [])).isSome = true ∧ (readCase (encCase case [])).isSome = true := by
  refine ⟨rfl, rfl, ?_, ?_⟩
  · simp [image_decode_encode (i := image) (by decide)]
  · simp [case_decode_encode (c := case) (by decide)]

/-- The default maximum length of a body is small enough for four bytes of length. -/
example : frameLenMax < 4294967296 := by decide

/-- The hypothesis of `frames_decode_encode` holds for two frames. -/
example : encFrames 4 [[1, 2], []] [] = some [0, 0, 0, 2, 1, 2, 0, 0, 0, 0] := by decide

/-! ## The theorems fail without the range -/

/-- A number of more than 64 bits is not encoded completely. -/
theorem number_above_range : decValue (encValue (.nat headEnd) []) ≠ some (.nat headEnd, []) := by
  intro h
  have := congrArg (Option.map fun p : Value × Bytes => p.1.encodedLen) h
  revert this
  decide

/-- Bytes that are not UTF-8 are not decoded as a text. -/
theorem text_outside_range : decValue (encValue (.text [128]) []) = none := by rfl

/-- Priorities whose names do not ascend are not decoded. -/
theorem priorities_outside_range :
    (decConfig (encConfig { config with priorities := [([98], 0), ([97], 1)] } [])).isNone = true := by
  decide +kernel

/-- A value with `n` nested lists. -/
def nested : Nat → Value
  | 0 => .unit
  | n + 1 => .list [nested n]

/-- A value that is nested too deeply is not decoded. -/
theorem depth_outside_range : (decValue (encValue (nested 64) [])).isNone = true ∧ (nested 63).fits = true := by
  decide +kernel

/-! ## A decoder that accepts longer heads -/

def decArgumentLax (c : Nat) (major : Nat) (b : Bytes) : Option ((Nat × Nat) × Bytes) :=
  match decBe c 0 b with
  | none => none
  | some (n, b) => some ((major, n), b)

def decHeadLax : Bytes → Option ((Nat × Nat) × Bytes)
  | [] => none
  | x :: b =>
    let major := x.toNat / 32
    let info := x.toNat % 32
    if info < 24 then some ((major, info), b)
    else if info = 24 then decArgumentLax 1 major b
    else if info = 25 then decArgumentLax 2 major b
    else if info = 26 then decArgumentLax 4 major b
    else if info = 27 then decArgumentLax 8 major b
    else none

/-- It accepts two encodings of one head. -/
theorem lax_takes_two_forms : decHeadLax [24, 5] = some ((0, 5), []) ∧ encHead 0 5 [] ≠ [24, 5] := by decide

/-- The real decoder rejects the longer one. -/
example : decHead [24, 5] = none := by rfl

def decValueLax : Bytes → Option (Value × Bytes)
  | [] => none
  | x :: b => if x.toNat / 32 = 0 then match decHeadLax (x :: b) with
      | some ((_, n), b) => some (.nat n, b)
      | none => none
    else decValue (x :: b)

/-- A decoder of values that uses it accepts two encodings of one value: `value_encode_decode`
fails. -/
theorem lax_takes_two_values : decValueLax [24, 5] = some (.nat 5, []) ∧ encValue (.nat 5) [] ≠ [24, 5] :=
  ⟨rfl, by decide⟩

/-! ## An encoder that always writes heads of eight bytes -/

def encHeadLong (major n : Nat) (k : Bytes) : Bytes := UInt8.ofNat (major * 32 + 27) :: encBe 8 n k

/-- What it writes is not decoded. -/
theorem long_not_read : decHead (encHeadLong 0 5 []) = none := by decide +kernel

/-! ## An encoder that writes only the low byte -/

def encHeadShort (major n : Nat) (k : Bytes) : Bytes := UInt8.ofNat (major * 32 + 24) :: encBe 1 n k

/-- The number that is decoded differs from the one that was encoded. -/
theorem short_read_otherwise : decHead (encHeadShort 0 300 []) = some ((0, 44), []) := by rfl

/-! ## A decoder that ignores the number of fields -/

def decFieldsLax {α : Type} (dec : Bytes → Option (α × Bytes)) (b : Bytes) : Option (α × Bytes) :=
  match decArrayHead b with
  | none => none
  | some (_, b) => dec b

def decPickLax (b : Bytes) : Option (Pick × Bytes) :=
  decAs (fun p => { session := p.1, coroutine := p.2 }) (decFieldsLax (decThen decU32 decU16)) b

/-- It accepts a pick with the head of three fields. -/
theorem lax_takes_wrong_count : decPickLax [131, 1, 2] = some ({ session := 1, coroutine := 2 }, []) ∧
    encPick { session := 1, coroutine := 2 } [] ≠ [131, 1, 2] := by decide

noncomputable def decImageLax (b : Bytes) : Option (CodeImage × Bytes) :=
  decAs (fun p => { name := p.1, version := p.2.1, roles := p.2.2.1, labels := p.2.2.2.1,
                    sorts := p.2.2.2.2.1, interfaces := p.2.2.2.2.2.1,
                    operations := p.2.2.2.2.2.2.1, programs := p.2.2.2.2.2.2.2 })
    (decFieldsLax (decThen decText (decThen decU32 (decThen (decArray decRole)
      (decThen (decArray decText) (decThen (decArray decSort) (decThen (decArray decInterface)
        (decThen (decArray decOperation) (decArray decProgram))))))))) b

def empty : CodeImage where
  name := []
  version := 0
  roles := []
  labels := []
  sorts := []
  interfaces := []
  operations := []
  programs := []

/-- It accepts an image with the head of nine fields: `image_encode_decode` fails. -/
theorem lax_takes_wrong_image : decImageLax [137, 96, 0, 128, 128, 128, 128, 128, 128] = some (empty, []) ∧
    encImage empty [] ≠ [137, 96, 0, 128, 128, 128, 128, 128, 128] := ⟨rfl, by decide⟩

/-! ## An encoder of images that writes version 0 -/

def encImageUnversioned (i : CodeImage) (k : Bytes) : Bytes := encImage { i with version := 0 } k

/-- Another image is decoded than was encoded: the statement of `image_decode_encode` fails. -/
theorem unversioned_not_back :
    ¬ ∀ i : CodeImage, i.fits = true → ∀ k, decImage (encImageUnversioned i k) = some (i, k) := by
  intro h
  have back := h { empty with version := 1 } (by decide) []
  have read : decImage (encImageUnversioned { empty with version := 1 } []) = some (empty, []) := rfl
  rw [read] at back
  exact absurd (congrArg (Option.map fun p : CodeImage × Bytes => p.1.version) back) (by decide)

/-! ## A codec of outcomes that drops the detail and accepts any number of fields -/

def encOutcomeBrief (o : Outcome) (k : Bytes) : Bytes :=
  match o with
  | .success value => encOutcome (.success value) k
  | .failure kind _ => encOutcome (.failure kind []) k

/-- The detail of an outcome; empty if it has none. -/
def detailOf : Outcome → Bytes
  | .success _ => []
  | .failure _ detail => detail

/-- Another outcome is decoded than was encoded: the statement of `outcome_decode_encode` fails. -/
theorem brief_not_back :
    ¬ ∀ o : Outcome, o.fits = true → ∀ k, decOutcome (encOutcomeBrief o k) = some (o, k) := by
  intro h
  have back := h (.failure .lost [112]) (by decide) []
  have read : decOutcome (encOutcomeBrief (.failure .lost [112]) []) = some (.failure .lost [], []) := rfl
  rw [read] at back
  exact absurd (congrArg (Option.map fun p : Outcome × Bytes => detailOf p.1) back) (by decide)

def decOutcomeLax (b : Bytes) : Option (Outcome × Bytes) :=
  decAlternative (fun number _ => decOutcomeOf number 2) b

/-- It accepts an outcome with the head of three fields: the statement of `outcome_encode_decode`
fails. -/
theorem lax_takes_wrong_outcome :
    ¬ ∀ b k o, decOutcomeLax b = some (o, k) → encOutcome o k = b := by
  intro h
  exact absurd (h [131, 1, 130, 7, 97, 112] [] (.failure .lost [112]) rfl) (by decide)

/-- The real decoder rejects it. -/
example : (decOutcome [131, 1, 130, 7, 97, 112]).isNone = true := by rfl

/-! ## An encoder of inputs that writes a wrong number -/

def encIngressWrong (i : Ingress) (k : Bytes) : Bytes :=
  match i with
  | .cancel session owner => encTag 3 0 (encUint session (encText owner k))
  | i => encIngress i k

/-- What it writes is not decoded: `ingress_decode_encode` fails. -/
theorem wrong_not_read : (decIngress (encIngressWrong (.cancel 0 [111]) [])).isNone = true := by decide +kernel

/-- What the real encoder writes is decoded. -/
example : (decIngress (encIngress (.cancel 0 [111]) [])).isSome = true := by decide +kernel

/-! ## A reader of cases that ignores the bytes after the case -/

noncomputable def readCaseLax (b : Bytes) : Option Case :=
  match decCase b with
  | some (c, _) => some c
  | none => none

/-- It accepts a case with bytes after it: `case_encode_decode` fails. -/
theorem lax_takes_a_rest : ∃ b, readCaseLax b = some case ∧ encCase case [] ≠ b := by
  refine ⟨encCase case [0], ?_, fun h => ?_⟩
  · simp [readCaseLax, exact_case.back case [0] (by decide)]
  · have := congrArg List.length h
    revert this
    decide +kernel

/-! ## An encoder of cases that reverses the actions -/

noncomputable def encCaseBackwards (c : Case) : Bytes := encCase { c with actions := c.actions.reverse } []

/-- The width of the first action of a case, if that is a round. -/
def firstWidth (c : Case) : Nat :=
  match c.actions with
  | .round width _ :: _ => width
  | _ => 0

/-- Another case is decoded than was encoded: the statement of `case_decode_encode` fails. -/
theorem backwards_not_back :
    ¬ ∀ c : Case, c.fits = true → readCase (encCaseBackwards c) = some c := by
  intro h
  have back := h { case with actions := [.turn, .round 2 1] } (by decide)
  have read : readCase (encCaseBackwards { case with actions := [.turn, .round 2 1] }) =
      some { case with actions := [.round 2 1, .turn] } :=
    case_decode_encode (c := { case with actions := [.round 2 1, .turn] }) (by decide)
  rw [read] at back
  exact absurd (congrArg (Option.map firstWidth) back) (by decide)

/-!
## Ranges that are too wide or too narrow

`value_range`, `image_range`, `ingress_range` and `case_range` are equivalences: a range that leaves
out a test contains items that no decoder returns, and a range that tests too much lacks items that
a decoder returns.
-/

/-- The statement of a range theorem, for a range and a decoder. -/
def IsRange {α : Type} (fits : α → Bool) (dec : Bytes → Option (α × Bytes)) : Prop :=
  ∀ x, fits x = true ↔ ∃ b k, dec b = some (x, k)

/-- A range with a greater nesting depth is too wide. -/
theorem value_range_any_depth : ¬ IsRange (fun v : Value => v.fitsIn 100) decValue := by
  intro h
  have read := (value_range (nested 64)).mpr ((h (nested 64)).mp (by decide +kernel))
  exact absurd read (by decide +kernel)

/-- A range with a nesting depth that is smaller by 1 is too narrow. -/
theorem value_range_shallow : ¬ IsRange (fun v : Value => v.fitsIn (depthMax - 1)) decValue := by
  intro h
  have fits := (h (nested 63)).mpr ((value_range (nested 63)).mp (by decide +kernel))
  exact absurd fits (by decide +kernel)

/-- A range with arbitrary bytes as the name is too wide. -/
theorem image_range_any_name : ¬ IsRange (fun i : CodeImage => CodeImage.fits { i with name := [] }) decImage := by
  intro h
  have read := (image_range { empty with name := [128] }).mpr ((h _).mp (by decide))
  exact absurd read (by decide)

/-- A range without the highest version is too narrow. -/
theorem image_range_no_last_version :
    ¬ IsRange (fun i : CodeImage => i.fits && Nat.blt i.version 4294967295) decImage := by
  intro h
  have fits := (h { empty with version := 4294967295 }).mpr ((image_range _).mp (by decide))
  exact absurd fits (by decide)

/-- A range that does not check the session's number in a cancellation. -/
def fitsAnySession : Ingress → Bool
  | .cancel _ owner => Ingress.fits (.cancel 0 owner)
  | i => i.fits

theorem ingress_range_any_session : ¬ IsRange fitsAnySession decIngress := by
  intro h
  have read := (ingress_range (.cancel 4294967296 [])).mpr ((h _).mp (by decide))
  exact absurd read (by decide)

/-- A range without cancellations with an empty owner. -/
def fitsNamed : Ingress → Bool
  | .cancel session (x :: owner) => Ingress.fits (.cancel session (x :: owner))
  | .cancel _ [] => false
  | i => i.fits

theorem ingress_range_named : ¬ IsRange fitsNamed decIngress := by
  intro h
  have fits := (h (.cancel 0 [])).mpr ((ingress_range _).mp (by decide))
  exact absurd fits (by decide)

/-- The statement of `case_range`, for a range. -/
def IsRangeOfCases (fits : Case → Bool) : Prop := ∀ c, fits c = true ↔ ∃ b, readCase b = some c

/-- A range with arbitrary priorities is too wide. -/
theorem case_range_any_order :
    ¬ IsRangeOfCases fun c => Case.fits { c with config := { c.config with priorities := [] } } := by
  intro h
  have read := (case_range { case with config := { config with priorities := [([98], 0), ([97], 1)] } }).mpr
    ((h _).mp (by decide))
  exact absurd read (by decide)

/-- A range without cases that have no actions is too narrow. -/
theorem case_range_not_empty : ¬ IsRangeOfCases fun c => c.fits && !c.actions.isEmpty := by
  intro h
  have fits := (h { case with actions := [] }).mpr ((case_range _).mp (by decide))
  exact absurd fits (by decide)

/-! ## A decoder of texts that accepts any bytes -/

def decTextLax (b : Bytes) : Option (Bytes × Bytes) :=
  match decMajor 3 b with
  | none => none
  | some (n, b) => takeBytes n b

/-- It accepts a text that is out of range. -/
theorem lax_takes_bytes : decTextLax [97, 128] = some ([128], []) ∧ fitsText [128] = false := by decide

/-! ## An encoder that writes records as lists -/

def encValueAlike : Value → Bytes → Bytes
  | .record fields, k => encValue (.list fields) k
  | v, k => encValue v k

/-- A record and a list have the same encoding. -/
theorem alike_confuses : encValueAlike (.record []) [] = encValueAlike (.list []) [] := by rfl

/-- The statement of `value_decode_encode` fails for it. -/
theorem alike_not_back : ¬ ∀ v : Value, v.fits = true → ∀ k, decValue (encValueAlike v k) = some (v, k) := by
  intro h
  have back := h (.record []) (by decide) []
  have read : decValue (encValueAlike (.record []) []) = some (.list [], []) := rfl
  rw [read] at back
  simp at back

/-! ## An option of an item that can be `null` -/

/-- `null` and an absent value have the same encoding: `Exact.option` fails without its
hypothesis. -/
theorem option_of_null : encOption encValue (some .unit) [] = encOption encValue none [] := by rfl

/-! ## Faulty deframers -/

/-- A frame whose length counts its own four bytes. -/
def encFrameLong (body k : Bytes) : Bytes := encBe 4 (bytesLen body 4) (putBytes body k)

/-- A reader that returns every body unchanged. -/
def bodies (s : Unit) (body : Bytes) : Reading Bytes Empty × Unit := (.message body, s)

/-- The bodies that were returned, without the errors. -/
def taken : List (Except (FrameError Empty) Bytes) → List Bytes
  | [] => []
  | .ok body :: xs => body :: taken xs
  | .error _ :: xs => taken xs

def start : Deframer Unit Empty := Deframer.new 4 ()

/-- Two frames, followed by a length that is too long. -/
def stream : Bytes := [0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0, 5, 1]

example : taken (start.feedAll bodies [[0, 0], [], [0, 2, 1], [2, 0, 0, 0, 0, 0, 0], [0, 5, 1]]).2 = [[1, 2], []] := by
  decide

example : taken (start.feed bodies stream).2 = [[1, 2], []] := by decide

/-- A deframer that drops incomplete frames at the end of each piece. -/
def feedForgetful (d : Deframer Unit Empty) : List Bytes → List (Except (FrameError Empty) Bytes)
  | [] => []
  | b :: bs => match ({ d with held := [] } : Deframer Unit Empty).feed bodies b with
    | (d, xs) => joined xs (feedForgetful d bs)

/-- The messages that it returns depend on how the stream is split. -/
theorem forgetful_depends_on_splits :
    taken (feedForgetful start [[0, 0, 0, 1, 9]]) ≠ taken (feedForgetful start [[0, 0], [0, 1, 9]]) := by decide

/-- A deframer that reads only one frame from each piece. -/
def feedOnce (d : Deframer Unit Empty) : List Bytes → List (Except (FrameError Empty) Bytes)
  | [] => []
  | b :: bs => match (d.push b).drain bodies 1 with
    | (d, xs) => joined xs (feedOnce d bs)

/-- It returns fewer messages if the pieces are larger. -/
theorem once_depends_on_splits :
    taken (feedOnce start [[0, 0, 0, 0, 0, 0, 0, 0]]) ≠ taken (feedOnce start [[0, 0, 0, 0], [0, 0, 0, 0]]) := by
  decide

/-- A deframer that continues after a length that is too long. -/
def feedOn (d : Deframer Unit Empty) : List Bytes → List (Except (FrameError Empty) Bytes)
  | [] => []
  | b :: bs => match ({ d with broken := none } : Deframer Unit Empty).feed bodies b with
    | (d, xs) => joined xs (feedOn d bs)

/-- It returns messages from behind the error if a piece starts there. -/
theorem going_on_depends_on_splits :
    taken (feedOn start [[0, 0, 0, 5, 0, 0, 0, 0]]) ≠ taken (feedOn start [[0, 0, 0, 5], [0, 0, 0, 0]]) := by decide

/-- The real deframer returns none. -/
example : taken (start.feedAll bodies [[0, 0, 0, 5], [0, 0, 0, 0]]).2 = [] := by decide

/-- Decoding such frames does not return their bodies: `frames_decode_encode` fails. -/
theorem long_does_not_come_back : taken (start.feed bodies (encFrameLong [] (encFrameLong [] []))).2 ≠ [[], []] := by
  decide

/-- A test of a stream's end that only asks for errors. -/
def endsWellLax (d : Deframer Unit Empty) : Bool := d.broken.isNone

/-- It accepts a stream that was cut: `frames_encode_decode` fails. -/
theorem lax_takes_a_cut : endsWellLax (start.feed bodies [0, 0, 0, 1]).1 = true ∧
    taken (start.feed bodies [0, 0, 0, 1]).2 = [] ∧ encFrames 4 [] [] ≠ some [0, 0, 0, 1] := by decide

/-- The real test rejects it. -/
example : (start.feed bodies [0, 0, 0, 1]).1.finish.isNone = false := by decide

end Antiphon.Tests.Codec
