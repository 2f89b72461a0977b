module

public import Runtime.ProtocolMachine.Codec.State
public import Runtime.ProtocolMachine.Semantics.Ingress

@[expose] public section

/-!
# Decoding the canonical bytes of a machine's state

The bytes contain neither the configuration nor the images, so the decoder takes both. A session
names its image by digest; the decoder looks up the digest's row. Numbers may have 64 bits, also
where the kernel stores fewer.
-/

namespace Antiphon

/-- Decodes how a session ended. -/
def decEnding (b : Bytes) : Option (Ending × Bytes) :=
  match decUint b with
  | some (0, b) => some (.closed, b)
  | some (1, b) => some (.cancelled, b)
  | some (2, b) => some (.faulted, b)
  | _ => none

/-- Decodes a kind of witness. -/
def decWitnessKind (b : Bytes) : Option (WitnessKind × Bytes) :=
  match decUint b with
  | some (0, b) => some (.check, b)
  | some (1, b) => some (.timeout, b)
  | _ => none

/-- Decodes the fields of a session's phase. -/
def decPhaseOf (number n : Nat) (b : Bytes) : Option (Phase × Bytes) :=
  match number, n with
  | 0, 1 => decNothing Phase.active b
  | 1, 2 => decAs Phase.terminal decEnding b
  | _, _ => none

/-- Decodes a session's phase. -/
def decPhase (b : Bytes) : Option (Phase × Bytes) := decAlternative decPhaseOf b

/-- Decodes the fields of what a coroutine waits for. -/
def decOnOf (number n : Nat) (b : Bytes) : Option (On × Bytes) :=
  match number, n with
  | 0, 2 => decAs On.empty decUint b
  | 1, 2 => decAs On.full decUint b
  | 2, 2 => decAs On.effect decUint b
  | _, _ => none

/-- Decodes what a coroutine waits for. -/
def decOn (b : Bytes) : Option (On × Bytes) := decAlternative decOnOf b

/-- Decodes the fields of a coroutine's status. -/
def decStatusOf (number n : Nat) (b : Bytes) : Option (Status × Bytes) :=
  match number, n with
  | 0, 1 => decNothing Status.ready b
  | 1, 2 => decAs Status.blocked decOn b
  | 2, 1 => decNothing Status.halted b
  | 3, 1 => decNothing Status.faulted b
  | _, _ => none

/-- Decodes a coroutine's status. -/
def decStatus (b : Bytes) : Option (Status × Bytes) := decAlternative decStatusOf b

/-- Decodes an endpoint. -/
def decEndpoint (b : Bytes) : Option (Endpoint × Bytes) :=
  decAs (fun p => { holder := p.1, state := p.2 }) (decFields 2 (decThen decUint decUint)) b

/-- Decodes a coroutine. -/
def decCoroutine (b : Bytes) : Option (Coroutine × Bytes) :=
  decAs (fun p => { program := p.1, role := p.2.1, priority := p.2.2.1, status := p.2.2.2.1,
                    pc := p.2.2.2.2.1, registers := p.2.2.2.2.2 })
    (decFields 6 (decThen decUint (decThen (decOption decUint) (decThen decUint
      (decThen decStatus (decThen decUint (decArray decValue))))))) b

/-- Decodes a message in a buffer. -/
def decParcel (b : Bytes) : Option (Parcel × Bytes) :=
  decAs (fun p => { payload := p.1, sequence := p.2.1, label := p.2.2 })
    (decFields 3 (decThen decValue (decThen decUint decUint))) b

/-- Decodes a buffer. -/
def decEdge (b : Bytes) : Option (Edge × Bytes) :=
  decAs (fun p => { sent := p.1, queue := p.2 }) (decFields 2 (decThen decUint (decArray decParcel))) b

/-- Decodes an outstanding effect. -/
def decEffect (b : Bytes) : Option (Effect × Bytes) :=
  decAs (fun p => { number := p.1, deadline := p.2.1, operation := p.2.2.1, coroutine := p.2.2.2.1,
                    attempt := p.2.2.2.2 })
    (decFields 5 (decThen decUint (decThen (decOption decUint) (decThen decUint
      (decThen decUint decUint))))) b

/-- Decodes a live witness. -/
def decWitness (b : Bytes) : Option (Witness × Bytes) :=
  decAs (fun p => { number := p.1, expires := p.2.1, effect := p.2.2.1, kind := p.2.2.2 })
    (decFields 4 (decThen decUint (decThen decUint (decThen decUint decWitnessKind)))) b

/-- Decodes an image's digest and returns the image's row. -/
def decImageRow (images : List Loaded) (b : Bytes) : Option (Nat × Bytes) :=
  match decDigest b with
  | none => none
  | some (digest, b) => match imageRow digest 0 images with
    | none => none
    | some row => some (row.1, b)

/-- A session's lists: its endpoints, coroutines, edges, effects and witnesses, and its owner. -/
abbrev SessionLists :=
  List Endpoint × List Coroutine × List Edge × List Effect × List Witness × Bytes

/-- Decodes a session's lists. -/
def decSessionLists (b : Bytes) : Option (SessionLists × Bytes) :=
  decThen (decArray decEndpoint) (decThen (decArray decCoroutine) (decThen (decArray decEdge)
    (decThen (decArray decEffect) (decThen (decArray decWitness) decText)))) b

/-- Decodes a session whose image is in the list. -/
def decSession (images : List Loaded) (b : Bytes) : Option (Session × Bytes) :=
  decAs (fun p => { id := p.1, image := p.2.1, phase := p.2.2.1, live := p.2.2.2.1,
                    epoch := p.2.2.2.2.1, events := p.2.2.2.2.2.1,
                    effectsIssued := p.2.2.2.2.2.2.1, witnessesIssued := p.2.2.2.2.2.2.2.1,
                    endpoints := p.2.2.2.2.2.2.2.2.1, coroutines := p.2.2.2.2.2.2.2.2.2.1,
                    edges := p.2.2.2.2.2.2.2.2.2.2.1, effects := p.2.2.2.2.2.2.2.2.2.2.2.1,
                    witnesses := p.2.2.2.2.2.2.2.2.2.2.2.2.1, owner := p.2.2.2.2.2.2.2.2.2.2.2.2.2 })
    (decFields 14 (decThen decUint (decThen (decImageRow images) (decThen decPhase
      (decThen decUint (decThen decUint (decThen decUint (decThen decUint (decThen decUint
        decSessionLists))))))))) b

/-- Decodes a pick of the ready queue. The same as `decPick`; the compiler cannot specialize a list
of `decPick` outside its own module. -/
def decQueued (b : Bytes) : Option (Pick × Bytes) :=
  decAs (fun p => { session := p.1, coroutine := p.2 }) (decFields 2 (decThen decU32 decU16)) b

/-- Decodes the text with which a machine's state starts. -/
def decMachineTag (b : Bytes) : Option (Unit × Bytes) :=
  match decText b with
  | none => none
  | some (s, b) => match sameBytes s machineTag with
    | true => some ((), b)
    | false => none

/-- Decodes the whole state of a machine that has this configuration and these images. -/
@[noinline] def decMachine (config : ProtocolMachineConfig) (images : List Loaded) (b : Bytes) :
    Option (Machine × Bytes) :=
  decAs (fun p => { config, images, stepIndex := p.2.1, clock := p.2.2.1, queue := p.2.2.2.1,
                    sessions := p.2.2.2.2 })
    (decFields 5 (decThen decMachineTag (decThen decUint (decThen decUint
      (decThen (decArray decQueued) (decArray (decSession images))))))) b

end Antiphon
