module

public import Runtime.Tests.Headlines.Row
public import Runtime.Tests.Codec
public import Runtime.Tests.Safety
public import Runtime.Tests.Session

@[expose] public noncomputable section

/-!
# The table of headlines: safety certificates and the codec
-/

namespace Antiphon.Tests.Headlines

/-! ## Safety certificates -/

/-- Changed: the checker does not test for deadlocks. -/
def safety_certificate_sound : Headline where
  Subject := CodeImage → SafetyCertificate → Bool
  claim check := ∀ (image : CodeImage) (certificate : SafetyCertificate),
    check image certificate = true →
      ∀ c : Configuration, Reachable (image.load []) certificate.places c →
        ¬ Deadlock (image.load []) certificate.places c ∧ ¬ ReceptionError (image.load []) c ∧
          ¬ Orphan (image.load []) c
  real := checkCertificate
  changed := Safety.checkBy { Safety.parts with bad := Safety.badButDeadlocks }
  holds := @Antiphon.safety_certificate_sound
  fails h := by
    obtain ⟨image, certificate, c, accepted, reached, wrong⟩ := Safety.without_deadlocks_unsound
    have ⟨deadlock, reception, orphan⟩ := h image certificate accepted c reached
    exact wrong.elim deadlock fun wrong => wrong.elim reception orphan

/-- After its question was received, `talk` is not at a deadlock. -/
theorem safety_certificate_sound_applied :
    ¬ Deadlock (Safety.talk.load []) 1 { states := [1, 1], buffers := [[], []] } :=
  (Antiphon.safety_certificate_sound (certificate := Safety.talks) (by decide)
    (Safety.reached (Safety.reached .start (next := [{ states := [1, 0], buffers := [[0], []] }]) rfl
      List.mem_cons_self) (next := [{ states := [1, 1], buffers := [[], []] }]) rfl
      List.mem_cons_self)).1

/-- Changed: a buffer has room for one message more than the configuration allows. -/
def certified_sessions_safe : Headline where
  Subject := Runner
  claim run := ∀ (config : ProtocolMachineConfig) (images : List Loaded) (as : List Action) (n : Nat)
    (s : Session) (image : CodeImage) (digest : Bytes) (certificate : SafetyCertificate),
    checkCertificate image certificate = true →
      (run config images as).machine.sessions[n]? = some s →
        images[s.image]? = some (image.load digest) → config.bufferMax ≤ certificate.places →
          ¬ ReceptionError (image.load digest) s.configuration ∧
            ¬ Orphan (image.load digest) s.configuration ∧
            (config.bufferMax = certificate.places →
              ¬ Deadlock (image.load digest) config.bufferMax s.configuration)
  real := runOf
  changed := Session.run Session.overfull
  holds := @Antiphon.certified_sessions_safe
  fails h := by
    -- A sends one message more than the certificate covers.
    have run : ∃ s, (Session.run Session.overfull Safety.config [Safety.aheadRuns.load [7]]
        [.input (.open [7] []), .pick ⟨0, 0⟩, .pick ⟨0, 0⟩, .pick ⟨0, 0⟩, .pick ⟨0, 2⟩,
          .pick ⟨0, 2⟩]).machine.sessions[0]? = some s ∧
        [Safety.aheadRuns.load [7]][s.image]? = some (Safety.aheadRuns.load [7]) ∧
        s.configuration = { states := [2, 0, 1], buffers := [[0, 0], [], [1]] } := ⟨_, rfl, rfl, rfl⟩
    obtain ⟨s, found, image, at_⟩ := run
    have ⟨reception, _⟩ := h _ _ _ 0 s Safety.aheadRuns [7] Safety.waits (by decide) found image
      (Nat.le_refl 1)
    exact reception (at_ ▸ ⟨0, _, 1, [], rfl, rfl, rfl, by decide⟩)

/-- The session in which the question was sent is not at a deadlock. -/
theorem certified_sessions_safe_applied :
    ∃ s, Safety.ran.machine.sessions[0]? = some s ∧
      s.configuration = { states := [1, 0], buffers := [[0], []] } ∧
      ¬ Deadlock (Safety.talk.load [7]) 1 s.configuration := by
  have run : ∃ s, Safety.ran.machine.sessions[0]? = some s ∧
      [Safety.talk.load [7]][s.image]? = some (Safety.talk.load [7]) ∧
      s.configuration = { states := [1, 0], buffers := [[0], []] } := ⟨_, rfl, rfl, rfl⟩
  obtain ⟨s, found, image, at_⟩ := run
  exact ⟨s, found, at_, (Antiphon.certified_sessions_safe (config := Safety.config)
    (certificate := Safety.talks) (by decide) found image (Nat.le_refl 1)).2.2 rfl⟩

/-- Changed: the test for room considers a buffer full one message too late. -/
def certified_safe_larger_buffers : Headline where
  Subject := CodeImage → SafetyCertificate → Bool
  claim := Safety.SafeInLarger
  real := hasRoom
  changed := Safety.roomTooLate
  holds := @Antiphon.certified_safe_larger_buffers
  fails := Safety.room_too_late_unsafe

/-- With buffers of 64 messages, `talk` is not at a deadlock after its question was sent. -/
theorem certified_safe_larger_buffers_applied :
    ¬ Deadlock (Safety.talk.load []) 64 { states := [1, 0], buffers := [[0], []] } :=
  (Antiphon.certified_safe_larger_buffers (certificate := Safety.talks) (by decide) (by decide)
    (by decide) (Safety.reached .start (next := [{ states := [1, 0], buffers := [[0], []] }]) rfl
      List.mem_cons_self)).2.1

/-- Changed: a receive leaves the message in the buffer. -/
def certified_sessions_safe_larger_buffers : Headline where
  Subject := Runner
  claim run := ∀ (config : ProtocolMachineConfig) (images : List Loaded) (as : List Action) (n : Nat)
    (s : Session) (image : CodeImage) (digest : Bytes) (certificate : SafetyCertificate),
    checkCertificate image certificate = true → hasRoom image certificate = true →
      (run config images as).machine.sessions[n]? = some s →
        images[s.image]? = some (image.load digest) → certificate.places ≤ config.bufferMax →
          ¬ ReceptionError (image.load digest) s.configuration ∧
            ¬ Orphan (image.load digest) s.configuration ∧
            ¬ Deadlock (image.load digest) config.bufferMax s.configuration
  real := runOf
  changed := Session.run Session.doubles
  holds := @Antiphon.certified_sessions_safe_larger_buffers
  fails h := by
    -- B takes the question and leaves it in the buffer, so it is there when B is done.
    have run : ∃ s, (Session.run Session.doubles { Safety.config with bufferMax := 64 }
        [Safety.talk.load [7]]
        [.input (.open [7] []), .pick ⟨0, 0⟩, .pick ⟨0, 0⟩, .pick ⟨0, 1⟩,
          .pick ⟨0, 1⟩]).machine.sessions[0]? = some s ∧
        [Safety.talk.load [7]][s.image]? = some (Safety.talk.load [7]) ∧
        s.configuration = { states := [1, 2], buffers := [[0], [1]] } := ⟨_, rfl, rfl, rfl⟩
    obtain ⟨s, found, image, at_⟩ := run
    have ⟨_, orphan, _⟩ := h _ _ _ 0 s Safety.talk [7] Safety.talks (by decide) (by decide) found image
      (by decide)
    exact orphan (at_ ▸ ⟨0, (0, 1), 0, [], rfl, rfl, _, rfl, rfl⟩)

/-- With buffers of 64 messages, the session in which the question was sent is not at a
deadlock. -/
theorem certified_sessions_safe_larger_buffers_applied :
    ∃ s, (Safety.runOn 64 Safety.talk [⟨0, 0⟩, ⟨0, 0⟩]).machine.sessions[0]? = some s ∧
      s.configuration = { states := [1, 0], buffers := [[0], []] } ∧
      ¬ Deadlock (Safety.talk.load [7]) 64 s.configuration := by
  have run : ∃ s, (Safety.runOn 64 Safety.talk [⟨0, 0⟩, ⟨0, 0⟩]).machine.sessions[0]? = some s ∧
      [Safety.talk.load [7]][s.image]? = some (Safety.talk.load [7]) ∧
      s.configuration = { states := [1, 0], buffers := [[0], []] } := ⟨_, rfl, rfl, rfl⟩
  obtain ⟨s, found, image, at_⟩ := run
  exact ⟨s, found, at_, (Antiphon.certified_sessions_safe_larger_buffers
    (config := { Safety.config with bufferMax := 64 }) (certificate := Safety.talks) (by decide)
    (by decide) found image (by decide)).2.2⟩

/-! ## Values -/

/-- Changed: records are encoded as lists. -/
def value_decode_encode : Headline where
  Subject := Value → Bytes → Bytes
  claim enc := ∀ v : Value, v.fits = true → ∀ k : Bytes, decValue (enc v k) = some (v, k)
  real := encValue
  changed := Codec.encValueAlike
  holds := @Antiphon.value_decode_encode
  fails := Codec.alike_not_back

/-- A value with every form in it comes back. -/
theorem value_decode_encode_applied : decValue (encValue Codec.value [7]) = some (Codec.value, [7]) :=
  Antiphon.value_decode_encode (by decide) [7]

/-- Changed: the decoder accepts longer heads. -/
def value_encode_decode : Headline where
  Subject := Bytes → Option (Value × Bytes)
  claim dec := ∀ (b k : Bytes) (v : Value), dec b = some (v, k) → encValue v k = b
  real := decValue
  changed := Codec.decValueLax
  holds := @Antiphon.value_encode_decode
  fails h := Codec.lax_takes_two_values.2 (h _ _ _ Codec.lax_takes_two_values.1)

/-- The byte of a small number is its encoding. -/
theorem value_encode_decode_applied : encValue (.nat 5) [9] = [5, 9] :=
  Antiphon.value_encode_decode (b := [5, 9]) rfl

/-! ## Images, inputs and cases -/

/-- Changed: the encoder writes version 0. -/
def image_decode_encode : Headline where
  Subject := CodeImage → Bytes → Bytes
  claim enc := ∀ i : CodeImage, i.fits = true → ∀ k : Bytes, decImage (enc i k) = some (i, k)
  real := encImage
  changed := Codec.encImageUnversioned
  holds := @Antiphon.image_decode_encode
  fails := Codec.unversioned_not_back

/-- An image with every kind of row comes back. -/
theorem image_decode_encode_applied : decImage (encImage Codec.image []) = some (Codec.image, []) :=
  Antiphon.image_decode_encode (by decide) []

/-- Changed: the decoder ignores the number of fields. -/
def image_encode_decode : Headline where
  Subject := Bytes → Option (CodeImage × Bytes)
  claim dec := ∀ (b k : Bytes) (i : CodeImage), dec b = some (i, k) → encImage i k = b
  real := decImage
  changed := Codec.decImageLax
  holds := @Antiphon.image_encode_decode
  fails h := Codec.lax_takes_wrong_image.2 (h _ _ _ Codec.lax_takes_wrong_image.1)

/-- The bytes that are read as the empty image are its encoding. -/
theorem image_encode_decode_applied :
    encImage Codec.empty [] = [136, 96, 0, 128, 128, 128, 128, 128, 128] :=
  Antiphon.image_encode_decode rfl

/-- Changed: the encoder writes a wrong number for a cancellation. -/
def ingress_decode_encode : Headline where
  Subject := Ingress → Bytes → Bytes
  claim enc := ∀ i : Ingress, i.fits = true → ∀ k : Bytes, decIngress (enc i k) = some (i, k)
  real := encIngress
  changed := Codec.encIngressWrong
  holds := @Antiphon.ingress_decode_encode
  fails h := by
    have none := Codec.wrong_not_read
    rw [h (.cancel 0 [111]) (by decide) []] at none
    cases none

/-- A cancellation comes back. -/
theorem ingress_decode_encode_applied :
    decIngress (encIngress (.cancel 0 [111]) [8]) = some (.cancel 0 [111], [8]) :=
  Antiphon.ingress_decode_encode (by decide) [8]

/-- A decoder of inputs that also reads a head of three fields. -/
def decIngressLax : Bytes → Option (Ingress × Bytes)
  | [] => none
  | x :: b => if x = 131 then decIngress (130 :: b) else decIngress (x :: b)

/-- Changed: the decoder also reads a head of three fields. -/
def ingress_encode_decode : Headline where
  Subject := Bytes → Option (Ingress × Bytes)
  claim dec := ∀ (b k : Bytes) (i : Ingress), dec b = some (i, k) → encIngress i k = b
  real := decIngress
  changed := decIngressLax
  holds := @Antiphon.ingress_encode_decode
  fails h := absurd (h [131, 2, 3] [] (.advanceClock 3) rfl) (by decide)

/-- The bytes that are read as an advance of the clock are its encoding. -/
theorem ingress_encode_decode_applied : encIngress (.advanceClock 3) [] = [130, 2, 3] :=
  Antiphon.ingress_encode_decode rfl

/-- Changed: the encoder reverses the actions. -/
def case_decode_encode : Headline where
  Subject := Case → Bytes → Bytes
  claim enc := ∀ c : Case, c.fits = true → readCase (enc c []) = some c
  real := encCase
  changed c _ := Codec.encCaseBackwards c
  holds := @Antiphon.case_decode_encode
  fails := Codec.backwards_not_back

/-- A case with every kind of action comes back. -/
theorem case_decode_encode_applied : readCase (encCase Codec.case []) = some Codec.case :=
  Antiphon.case_decode_encode (by decide)

/-- Changed: the reader ignores bytes after the case. -/
def case_encode_decode : Headline where
  Subject := Bytes → Option Case
  claim read := ∀ (b : Bytes) (c : Case), read b = some c → encCase c [] = b
  real := readCase
  changed := Codec.readCaseLax
  holds := @Antiphon.case_encode_decode
  fails h := let ⟨_, read, other⟩ := Codec.lax_takes_a_rest; other (h _ _ read)

/-- Bytes that are not the encoding of a case are not read as it. -/
theorem case_encode_decode_applied : readCase [134, 97] ≠ some Codec.case := by
  intro h
  have length := congrArg List.length (Antiphon.case_encode_decode h)
  revert length
  decide +kernel

/-! ## Frames -/

/-- A deframer that reads the first piece of a stream only. -/
def feedFirst (σ μ ε : Type) (read : σ → Bytes → Reading μ ε × σ) (d : Deframer σ ε) :
    List Bytes → Deframer σ ε × List (Except (FrameError ε) μ)
  | [] => (d, [])
  | b :: _ => d.feed read b

/-- Changed: the deframer reads the first piece only. -/
def frames_split_anywhere : Headline where
  Subject := (σ μ ε : Type) → (σ → Bytes → Reading μ ε × σ) → Deframer σ ε → List Bytes →
    Deframer σ ε × List (Except (FrameError ε) μ)
  claim feedAll := ∀ (σ μ ε : Type) (read : σ → Bytes → Reading μ ε × σ) (lenMax : Nat) (s : σ)
    (pieces : List Bytes),
    feedAll σ μ ε read (Deframer.new lenMax s) pieces =
      (Deframer.new lenMax s).feed read pieces.flatten
  real := @Deframer.feedAll
  changed := feedFirst
  holds := @Antiphon.frames_split_anywhere
  fails h := absurd
    (congrArg (fun r => Codec.taken r.2)
      (h Unit Bytes Empty Codec.bodies 4 () [[0, 0, 0, 0], [0, 0, 0, 0]]))
    (by decide)

/-- A frame that arrives in two pieces is read like one that arrives in one piece. -/
theorem frames_split_anywhere_applied :
    Codec.start.feedAll Codec.bodies [[0, 0], [0, 1, 9]] = Codec.start.feed Codec.bodies [0, 0, 0, 1, 9] :=
  Antiphon.frames_split_anywhere Codec.bodies 4 () [[0, 0], [0, 1, 9]]

/-- Encodes frames whose length counts its own four bytes. -/
def encFramesLong : Nat → List Bytes → Bytes → Option Bytes
  | _, [], k => some k
  | lenMax, body :: bodies, k => (encFramesLong lenMax bodies k).map (Codec.encFrameLong body)

/-- Changed: the length of a frame counts its own four bytes. -/
def frames_decode_encode : Headline where
  Subject := Nat → List Bytes → Bytes → Option Bytes
  claim enc := ∀ (σ ε : Type) (lenMax : Nat) (bodies : List Bytes) (b : Bytes) (s : σ),
    lenMax < 4294967296 → enc lenMax bodies [] = some b →
      (Deframer.new lenMax s : Deframer σ ε).feed keepBody b =
        (Deframer.new lenMax s, bodies.map .ok)
  real := encFrames
  changed := encFramesLong
  holds := @Antiphon.frames_decode_encode
  fails h := absurd
    (congrArg (fun r => Codec.taken r.2) (h Unit Empty 4 [[], []] _ () (by decide) rfl)) (by decide)

/-- The frames of two bodies are read as these bodies. -/
theorem frames_decode_encode_applied :
    (Deframer.new 4 () : Deframer Unit Empty).feed keepBody [0, 0, 0, 2, 1, 2, 0, 0, 0, 0] =
      (Deframer.new 4 (), [.ok [1, 2], .ok []]) :=
  Antiphon.frames_decode_encode (bodies := [[1, 2], []]) () (by decide) (by decide)

/-- An encoder that refuses every body. -/
def encFramesNone : Nat → List Bytes → Bytes → Option Bytes
  | _, [], k => some k
  | _, _ :: _, _ => none

/-- Changed: the encoder refuses every body. -/
def frames_encode_decode : Headline where
  Subject := Nat → List Bytes → Bytes → Option Bytes
  claim enc := ∀ (σ ε : Type) (lenMax : Nat) (b : Bytes) (s : σ) (d : Deframer σ ε)
    (xs : List (Except (FrameError ε) Bytes)),
    (Deframer.new lenMax s).feed keepBody b = (d, xs) → d.finish = none →
      ∃ bodies : List Bytes, xs = bodies.map .ok ∧ enc lenMax bodies [] = some b
  real := encFrames
  changed := encFramesNone
  holds := @Antiphon.frames_encode_decode
  fails h := by
    obtain ⟨bodies, same, frames⟩ :=
      h Unit Empty 4 [0, 0, 0, 0] () (Deframer.new 4 ()) [.ok []] rfl rfl
    cases bodies with
    | nil => cases same
    | cons => cases frames

/-- A stream of one frame is the frame of the body that was read. -/
theorem frames_encode_decode_applied :
    ∃ bodies : List Bytes,
      ([.ok [1, 2]] : List (Except (FrameError Empty) Bytes)) = bodies.map .ok ∧
        encFrames 4 bodies [] = some [0, 0, 0, 2, 1, 2] :=
  Antiphon.frames_encode_decode (s := ()) (d := Deframer.new 4 ()) rfl rfl

end Antiphon.Tests.Headlines
