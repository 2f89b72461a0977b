module

public import Runtime.ProtocolMachine.Codec.Image
public import Runtime.ProtocolMachine.Model.Machine

@[expose] public section

/-!
# The canonical bytes of inputs, actions and cases

`Case` models the type of the same name in `rust/bridge`.
-/

namespace Antiphon

/-- Decodes a kind of failure, which is encoded as its code. -/
def decFailureKind (b : Bytes) : Option (FailureKind × Bytes) :=
  match decUint b with
  | some (0, b) => some (.denied, b)
  | some (1, b) => some (.timeout, b)
  | some (2, b) => some (.cancelled, b)
  | some (3, b) => some (.unavailable, b)
  | some (4, b) => some (.invalidInput, b)
  | some (5, b) => some (.staleAuthority, b)
  | some (6, b) => some (.contractViolation, b)
  | some (7, b) => some (.lost, b)
  | some (8, b) => some (.busy, b)
  | some (9, b) => some (.internal, b)
  | _ => none

/-- Encodes a failure: its kind and its detail. -/
def encFailure (kind : FailureKind) (detail : Bytes) (k : Bytes) : Bytes :=
  encArrayHead 2 (encUint kind.code (encText detail k))

/-- Encodes an outcome. -/
def encOutcome (o : Outcome) (k : Bytes) : Bytes :=
  match o with
  | .success value => encTag 2 0 (encValue value k)
  | .failure kind detail => encTag 2 1 (encFailure kind detail k)

/-- Decodes the fields of an outcome. -/
def decOutcomeOf (number n : Nat) (b : Bytes) : Option (Outcome × Bytes) :=
  match number, n with
  | 0, 2 => decAs Outcome.success decValue b
  | 1, 2 => decAs (fun p => Outcome.failure p.1 p.2) (decFields 2 (decThen decFailureKind decText)) b
  | _, _ => none

/-- Decodes an outcome. -/
def decOutcome (b : Bytes) : Option (Outcome × Bytes) := decAlternative decOutcomeOf b

/-- Encodes the identifier of an effect. -/
def encEffectId (e : EffectId) (k : Bytes) : Bytes :=
  encArrayHead 2 (encUint e.session (encUint e.number k))

/-- Decodes the identifier of an effect. -/
def decEffectId (b : Bytes) : Option (EffectId × Bytes) :=
  decAs (fun p => { session := p.1, number := p.2 }) (decFields 2 (decThen decU32 decUint)) b

/-- Decodes a digest. -/
def decDigest (b : Bytes) : Option (Bytes × Bytes) := decFixed 32 b

/-- Encodes an input. -/
def encIngress (i : Ingress) (k : Bytes) : Bytes :=
  match i with
  | .open image owner => encTag 3 0 (encBytes image (encText owner k))
  | .outcome effect outcome => encTag 3 1 (encEffectId effect (encOutcome outcome k))
  | .advanceClock ticks => encTag 2 2 (encUint ticks k)
  | .cancel session owner => encTag 3 3 (encUint session (encText owner k))

/-- Decodes the fields of an input. -/
def decIngressOf (number n : Nat) (b : Bytes) : Option (Ingress × Bytes) :=
  match number, n with
  | 0, 3 => decAs (fun p => Ingress.open p.1 p.2) (decThen decDigest decText) b
  | 1, 3 => decAs (fun p => Ingress.outcome p.1 p.2) (decThen decEffectId decOutcome) b
  | 2, 2 => decAs Ingress.advanceClock decUint b
  | 3, 3 => decAs (fun p => Ingress.cancel p.1 p.2) (decThen decU32 decText) b
  | _, _ => none

/-- Decodes an input. -/
def decIngress (b : Bytes) : Option (Ingress × Bytes) := decAlternative decIngressOf b

/-- Encodes a pick. -/
def encPick (p : Pick) (k : Bytes) : Bytes :=
  encArrayHead 2 (encUint p.session (encUint p.coroutine k))

/-- Decodes a pick. -/
def decPick (b : Bytes) : Option (Pick × Bytes) :=
  decAs (fun p => { session := p.1, coroutine := p.2 }) (decFields 2 (decThen decU32 decU16)) b

/-- Encodes a key. -/
def encKey (x : Key) (k : Bytes) : Bytes :=
  match x with
  | .ledger session => encTag 2 0 (encUint session k)
  | .coroutine session coroutine => encTag 3 1 (encUint session (encUint coroutine k))
  | .endpoint session role => encTag 3 2 (encUint session (encUint role k))
  | .edge session edge => encTag 3 3 (encUint session (encUint edge k))

/-- Decodes the fields of a key. -/
def decKeyOf (number n : Nat) (b : Bytes) : Option (Key × Bytes) :=
  match number, n with
  | 0, 2 => decAs Key.ledger decU32 b
  | 1, 3 => decAs (fun p => Key.coroutine p.1 p.2) (decThen decU32 decU16) b
  | 2, 3 => decAs (fun p => Key.endpoint p.1 p.2) (decThen decU32 decU16) b
  | 3, 3 => decAs (fun p => Key.edge p.1 p.2) (decThen decU32 decU16) b
  | _, _ => none

/-- Decodes a key. -/
def decKey (b : Bytes) : Option (Key × Bytes) := decAlternative decKeyOf b

/-- Encodes a pick of a wave. -/
def encWavePick (p : WavePick) (k : Bytes) : Bytes :=
  encArrayHead 4 (encPick p.pick (encUint p.lane (encUint p.quantum (encArray encKey p.footprint k))))

/-- Decodes a pick of a wave. -/
def decWavePick (b : Bytes) : Option (WavePick × Bytes) :=
  decAs (fun p => { pick := p.1, lane := p.2.1, quantum := p.2.2.1, footprint := p.2.2.2 })
    (decFields 4 (decThen decPick (decThen decU32 (decThen decU32 (decArray decKey))))) b

/-- Encodes a wave's certificate. -/
def encCertificate (c : WaveCertificate) (k : Bytes) : Bytes :=
  encArrayHead 3 (encUint c.stepIndex (encArray encPick c.queue (encArray encWavePick c.picks k)))

/-- Decodes a wave's certificate. -/
def decCertificate (b : Bytes) : Option (WaveCertificate × Bytes) :=
  decAs (fun p => { stepIndex := p.1, queue := p.2.1, picks := p.2.2 })
    (decFields 3 (decThen decUint (decThen (decArray decPick) (decArray decWavePick)))) b

/-- Encodes an action. -/
def encAction (a : Action) (k : Bytes) : Bytes :=
  match a with
  | .turn => encTag 1 0 k
  | .input ingress => encTag 2 1 (encIngress ingress k)
  | .pick pick => encTag 2 2 (encPick pick k)
  | .round width quantum => encTag 3 3 (encUint width (encUint quantum k))
  | .wave certificate => encTag 2 4 (encCertificate certificate k)

/-- Decodes the fields of an action. -/
def decActionOf (number n : Nat) (b : Bytes) : Option (Action × Bytes) :=
  match number, n with
  | 0, 1 => decNothing Action.turn b
  | 1, 2 => decAs Action.input decIngress b
  | 2, 2 => decAs Action.pick decPick b
  | 3, 3 => decAs (fun p => Action.round p.1 p.2) (decThen decU32 decU32) b
  | 4, 2 => decAs Action.wave decCertificate b
  | _, _ => none

/-- Decodes an action. -/
def decAction (b : Bytes) : Option (Action × Bytes) := decAlternative decActionOf b

/-- One run of a new machine: the images with their digests, the configuration and the actions in
order. -/
structure Case where
  name : Bytes
  images : List (Bytes × CodeImage)
  config : ProtocolMachineConfig
  actions : List Action

/-- Encodes an image with its digest. -/
def encNamedImage (i : Bytes × CodeImage) (k : Bytes) : Bytes := encPair encBytes encImage i k

/-- Decodes an image with its digest. -/
def decNamedImage (b : Bytes) : Option ((Bytes × CodeImage) × Bytes) := decPair decDigest decImage b

/-- Encodes a case. -/
def encCase (c : Case) (k : Bytes) : Bytes :=
  encArrayHead 4 (encText c.name (encArray encNamedImage c.images (encConfig c.config
    (encArray encAction c.actions k))))

/-- Decodes a case. -/
def decCase (b : Bytes) : Option (Case × Bytes) :=
  decAs (fun p => { name := p.1, images := p.2.1, config := p.2.2.1, actions := p.2.2.2 })
    (decFields 4 (decThen decText (decThen (decArray decNamedImage)
      (decThen decConfig (decArray decAction))))) b

/-- Reads bytes that are the encoding of one case and nothing more. -/
@[noinline] def readCase (b : Bytes) : Option Case := decWhole decCase b

/-- Loads the images of a case. -/
def loadImages : List (Bytes × CodeImage) → List Loaded
  | [] => []
  | i :: is => i.2.load i.1 :: loadImages is

/-- The machine on which the actions of a case start. -/
@[noinline] def Case.machine (c : Case) : Machine := Machine.new c.config (loadImages c.images)

end Antiphon
