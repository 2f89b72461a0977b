module

public import Runtime.ProtocolMachine.Codec.StateDecode
public import Runtime.ProtocolMachine.Recording

@[expose] public section

/-!
# The bytes of a recording's entries

The bytes are those of `rust/record/src/entry.rs`. Only the decoders that the compiler cannot
specialize outside their own module are repeated here.
-/

namespace Antiphon

/-- Decodes the fields of a refusal. -/
def decRefusalOf (number n : Nat) (b : Bytes) : Option (Refusal × Bytes) :=
  match number, n with
  | 0, 2 => decAs Refusal.noSuchSession decU32 b
  | 1, 2 => decAs Refusal.sessionEnded decU32 b
  | 2, 2 => decAs (fun p => Refusal.late { session := p.1, number := p.2 })
      (decFields 2 (decThen decU32 decUint)) b
  | 3, 2 => decAs (fun p => Refusal.neverIssued { session := p.1, number := p.2 })
      (decFields 2 (decThen decU32 decUint)) b
  | 4, 2 => decAs Refusal.notOwner decU32 b
  | 5, 1 => decNothing Refusal.noSuchImage b
  | 6, 2 => decAs Refusal.sessionBound decUint b
  | 7, 3 => decAs (fun p => Refusal.ownerTooLong p.1 p.2) (decThen decUint decUint) b
  | 8, 2 => decAs Refusal.clockOverflow decUint b
  | _, _ => none

/-- Decodes a refusal. -/
def decRefusal (b : Bytes) : Option (Refusal × Bytes) := decAlternative decRefusalOf b

/-- Decodes an outcome. The same as `decOutcome`. -/
def decRecordedOutcome (b : Bytes) : Option (Outcome × Bytes) := decAlternative decOutcomeOf b

/-- Decodes an input. The same as `decIngress`. -/
def decRecordedInput (b : Bytes) : Option (Ingress × Bytes) := decAlternative decIngressOf b

/-- Encodes a pick of a wave with its quantum. -/
def encQuantum (p : Pick × Nat) (k : Bytes) : Bytes :=
  encArrayHead 3 (encUint p.1.session (encUint p.1.coroutine (encUint p.2 k)))

/-- Decodes a pick of a wave with its quantum. -/
def decQuantum (b : Bytes) : Option ((Pick × Nat) × Bytes) :=
  decAs (fun p => ({ session := p.1, coroutine := p.2.1 }, p.2.2))
    (decFields 3 (decThen decU32 (decThen decU16 decU32))) b

/-- Encodes the fields of a checkpoint. -/
def encPoint (p : Checkpoint) (k : Bytes) : Bytes :=
  encUint p.step (encUint p.clock (encOption encBytes p.state (encOption encBytes p.trace k)))

/-- Decodes the fields of a checkpoint. -/
def decPoint (b : Bytes) : Option (Checkpoint × Bytes) :=
  decAs (fun p => { step := p.1, clock := p.2.1, state := p.2.2.1, trace := p.2.2.2 })
    (decThen decUint (decThen decUint (decThen (decOption decDigest) (decOption decDigest)))) b

/-- Decodes the fields of a request. -/
def decRequested (b : Bytes) : Option (EffectRequest × Bytes) :=
  decAs (fun p => { effect := { session := p.1, number := p.2.1 }, role := p.2.2.1,
                    operation := p.2.2.2.1, attempt := p.2.2.2.2.1, deadline := p.2.2.2.2.2.1,
                    args := p.2.2.2.2.2.2 })
    (decThen decU32 (decThen decUint (decThen (decOption decU16) (decThen decU16 (decThen decU8
      (decThen (decOption decUint) (decArray decValue))))))) b

/-- Encodes an entry. -/
def encEntry (x : RecordedEntry) (k : Bytes) : Bytes :=
  match x with
  | .request step q => encTag 9 2 (encUint step (encUint q.effect.session (encUint q.effect.number
      (encOption encUint q.role (encUint q.operation (encUint q.attempt
        (encOption encUint q.deadline (encArray encValue q.args k))))))))
  | .answer outcome => encTag 2 3 (encOutcome outcome k)
  | .input step ingress => encTag 3 4 (encUint step (encIngress ingress k))
  | .refused refusal => encTag 2 5 (encRefusal refusal k)
  | .checkpoint point => encTag 5 6 (encPoint point k)
  | .wave step picks => encTag 3 9 (encUint step (encArray encQuantum picks k))

/-- Decodes the fields of an entry. -/
def decEntryOf (number n : Nat) (b : Bytes) : Option (RecordedEntry × Bytes) :=
  match number, n with
  | 2, 9 => decAs (fun p => RecordedEntry.request p.1 p.2) (decThen decUint decRequested) b
  | 3, 2 => decAs RecordedEntry.answer decRecordedOutcome b
  | 4, 3 => decAs (fun p => RecordedEntry.input p.1 p.2) (decThen decUint decRecordedInput) b
  | 5, 2 => decAs RecordedEntry.refused decRefusal b
  | 6, 5 => decAs RecordedEntry.checkpoint decPoint b
  | 9, 3 => decAs (fun p => RecordedEntry.wave p.1 p.2) (decThen decUint (decArray decQuantum)) b
  | _, _ => none

/-- Decodes an entry. -/
def decEntry (b : Bytes) : Option (RecordedEntry × Bytes) := decAlternative decEntryOf b

/-- Encodes entries. -/
@[noinline] def encEntries (xs : List RecordedEntry) (k : Bytes) : Bytes := encArray encEntry xs k

/-- Decodes the state in which a recorded machine was left. -/
def decStop (b : Bytes) : Option (Stop × Bytes) :=
  match decUint b with
  | some (0, b) => some (.running, b)
  | some (1, b) => some (.idle, b)
  | some (2, b) => some (.done, b)
  | some (3, b) => some (.stuck, b)
  | _ => none

/-- Decodes the fields of a recording's end: the state of the machine, the last digests, and the
number of the recording's entries, which is dropped. -/
def decEndOf (number n : Nat) (b : Bytes) : Option ((Stop × Checkpoint) × Bytes) :=
  match number, n with
  | 8, 7 => decAs (fun p => (p.1, p.2.1)) (decThen decStop (decThen decPoint decUint)) b
  | _, _ => none

/-- Decodes a recording's end. -/
def decEnd (b : Bytes) : Option ((Stop × Checkpoint) × Bytes) := decAlternative decEndOf b

/-- Decodes an image with its digest. The same as `decNamedImage`. -/
def decRecordedImage (b : Bytes) : Option ((Bytes × CodeImage) × Bytes) := decPair decDigest decImage b

/-- Decodes a recording: the images with their digests, the configuration, the entries, and the
end. -/
def decRecordedRun (b : Bytes) : Option (RecordedRun × Bytes) :=
  decAs (fun p => { config := p.2.1, images := loadImages p.1, entries := p.2.2.1,
                    stop := p.2.2.2.1, last := p.2.2.2.2 })
    (decFields 4 (decThen (decArray decRecordedImage) (decThen decConfig
      (decThen (decArray decEntry) decEnd)))) b

/-- Reads bytes that are the encoding of one recording and nothing more. -/
@[noinline] def readRecordedRun (b : Bytes) : Option RecordedRun := decWhole decRecordedRun b

end Antiphon
