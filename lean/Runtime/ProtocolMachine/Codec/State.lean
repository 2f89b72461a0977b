module

public import Runtime.ProtocolMachine.Codec.Action

@[expose] public section

/-! # The canonical bytes of what a machine shows: its state, events and results -/

namespace Antiphon

/-- The number that encodes a form: its position. -/
def Form.number : Form → Nat
  | .unit => 0 | .bool => 1 | .nat => 2 | .int => 3 | .text => 4 | .bytes => 5 | .list => 6
  | .record => 7 | .endpoint => 8 | .evidence => 9

/-- The number that encodes a table: its position. -/
def Table.number : Table → Nat
  | .programs => 0 | .operations => 1 | .roles => 2 | .states => 3 | .edges => 4

/-- The number that encodes what a state allows its role: its position. -/
def SpeechAct.number : SpeechAct → Nat
  | .done => 0 | .send => 1 | .receive => 2

/-- The number that encodes how a session ended: its position. -/
def Ending.number : Ending → Nat
  | .closed => 0 | .cancelled => 1 | .faulted => 2

/-- The number that encodes a kind of witness: its position. -/
def WitnessKind.number : WitnessKind → Nat
  | .check => 0 | .timeout => 1

/-- Encodes a fault. -/
def encFault (f : Fault) (k : Bytes) : Bytes :=
  match f with
  | .outOfRegisters register count => encTag 3 0 (encUint register (encUint count k))
  | .pcOutOfBounds pc len => encTag 3 1 (encUint pc (encUint len k))
  | .noSuchRow table index => encTag 3 2 (encUint table.number (encUint index k))
  | .notAnEndpoint register got => encTag 3 3 (encUint register (encUint got.number k))
  | .notHolder role holder => encTag 3 4 (encUint role (encUint holder k))
  | .wrongState role state expected got =>
    encTag 5 5 (encUint role (encUint state (encUint expected.number (encUint got.number k))))
  | .wrongLabel role state got => encTag 4 6 (encUint role (encUint state (encUint got k)))
  | .wrongSort expected got => encTag 3 7 (encUint expected (encUint got.number k))
  | .payloadTooLarge len max => encTag 3 8 (encUint len (encUint max k))
  | .unexpectedMessage edge got => encTag 3 9 (encUint edge (encUint got k))
  | .selectorOutside got => encTag 2 10 (encUint got k)
  | .noSuchBranch got => encTag 2 11 (encUint got k)
  | .notANumber got => encTag 2 12 (encUint got.number k)
  | .wrongOperation => encTag 1 13 k
  | .coroutineBound max => encTag 2 14 (encUint max k)
  | .effectFailed number kind => encTag 3 15 (encUint number (encUint kind.code k))
  | .endpointOpen role state => encTag 3 16 (encUint role (encUint state k))
  | .edgeNotEmpty edge len => encTag 3 17 (encUint edge (encUint len k))

/-- Encodes a refusal. -/
def encRefusal (r : Refusal) (k : Bytes) : Bytes :=
  match r with
  | .noSuchSession session => encTag 2 0 (encUint session k)
  | .sessionEnded session => encTag 2 1 (encUint session k)
  | .late effect => encTag 2 2 (encEffectId effect k)
  | .neverIssued effect => encTag 2 3 (encEffectId effect k)
  | .notOwner session => encTag 2 4 (encUint session k)
  | .noSuchImage => encTag 1 5 k
  | .sessionBound max => encTag 2 6 (encUint max k)
  | .ownerTooLong len max => encTag 3 7 (encUint len (encUint max k))
  | .clockOverflow ticks => encTag 2 8 (encUint ticks k)

/-- Encodes a message. -/
def encMessage (m : Message) (k : Bytes) : Bytes :=
  encArrayHead 4 (encUint m.edge (encUint m.label (encUint m.sequence (encValue m.payload k))))

/-- Encodes an event. -/
def encEvent (e : Event) (k : Bytes) : Bytes :=
  match e with
  | .opened image owner => encTag 3 0 (encBytes image (encText owner k))
  | .sent message => encTag 2 1 (encMessage message k)
  | .offered message => encTag 2 2 (encMessage message k)
  | .received message => encTag 2 3 (encMessage message k)
  | .chose message => encTag 2 4 (encMessage message k)
  | .effectIssued number coroutine operation attempt deadline =>
    encTag 6 5 (encUint number (encUint coroutine (encUint operation (encUint attempt
      (encOption encUint deadline k)))))
  | .effectResolved number result => encTag 3 6 (encUint number (encValue result k))
  | .effectFailed number kind detail => encTag 3 7 (encUint number (encFailure kind detail k))
  | .effectInvalidated number => encTag 2 8 (encUint number k)
  | .witnessIssued witness number => encTag 3 9 (encUint witness (encUint number k))
  | .witnessExpired witness => encTag 2 10 (encUint witness k)
  | .timeoutIssued number witness => encTag 3 11 (encUint number (encUint witness k))
  | .cancellationRequested witness => encTag 2 12 (encUint witness k)
  | .cancelled witness => encTag 2 13 (encUint witness k)
  | .failureBranchEntered coroutine cause => encTag 3 14 (encUint coroutine (encFault cause k))
  | .spawned coroutine program => encTag 3 15 (encUint coroutine (encUint program k))
  | .halted coroutine => encTag 2 16 (encUint coroutine k)
  | .faulted coroutine fault => encTag 3 17 (encUint coroutine (encFault fault k))
  | .closed => encTag 1 18 k
  | .sessionTerminal how => encTag 2 19 (encUint how.number k)
  | .epochAdvanced epoch => encTag 2 20 (encUint epoch k)

/-- Encodes a stamp. -/
def encStamp (s : Stamp) (k : Bytes) : Bytes :=
  encArrayHead 4 (encUint s.session (encUint s.index (encUint s.step (encUint s.clock k))))

/-- Encodes an event with its stamp. -/
def encObsEvent (e : ObsEvent) (k : Bytes) : Bytes :=
  encArrayHead 2 (encStamp e.stamp (encEvent e.event k))

/-- Encodes a session's phase. -/
def encPhase (p : Phase) (k : Bytes) : Bytes :=
  match p with
  | .active => encTag 1 0 k
  | .terminal how => encTag 2 1 (encUint how.number k)

/-- Encodes what a coroutine waits for. -/
def encOn (o : On) (k : Bytes) : Bytes :=
  match o with
  | .empty edge => encTag 2 0 (encUint edge k)
  | .full edge => encTag 2 1 (encUint edge k)
  | .effect number => encTag 2 2 (encUint number k)

/-- Encodes a coroutine's status. -/
def encStatus (s : Status) (k : Bytes) : Bytes :=
  match s with
  | .ready => encTag 1 0 k
  | .blocked on => encTag 2 1 (encOn on k)
  | .halted => encTag 1 2 k
  | .faulted => encTag 1 3 k

/-- Encodes an endpoint. -/
def encEndpoint (e : Endpoint) (k : Bytes) : Bytes :=
  encArrayHead 2 (encUint e.holder (encUint e.state k))

/-- Encodes a coroutine. -/
def encCoroutine (c : Coroutine) (k : Bytes) : Bytes :=
  encArrayHead 6 (encUint c.program (encOption encUint c.role (encUint c.priority
    (encStatus c.status (encUint c.pc (encArray encValue c.registers k))))))

/-- Encodes a message in a buffer. -/
def encParcel (p : Parcel) (k : Bytes) : Bytes :=
  encArrayHead 3 (encValue p.payload (encUint p.sequence (encUint p.label k)))

/-- Encodes a buffer. -/
def encEdge (e : Edge) (k : Bytes) : Bytes :=
  encArrayHead 2 (encUint e.sent (encArray encParcel e.queue k))

/-- Encodes an outstanding effect. -/
def encEffect (e : Effect) (k : Bytes) : Bytes :=
  encArrayHead 5 (encUint e.number (encOption encUint e.deadline (encUint e.operation
    (encUint e.coroutine (encUint e.attempt k)))))

/-- Encodes a live witness. -/
def encWitness (w : Witness) (k : Bytes) : Bytes :=
  encArrayHead 4 (encUint w.number (encUint w.expires (encUint w.effect (encUint w.kind.number k))))

/-- Encodes the whole state of a session; its image is given by digest. -/
def encSession (digest : Bytes) (s : Session) (k : Bytes) : Bytes :=
  encArrayHead 14 (encUint s.id (encBytes digest (encPhase s.phase (encUint s.live (encUint s.epoch
    (encUint s.events (encUint s.effectsIssued (encUint s.witnessesIssued
      (encArray encEndpoint s.endpoints (encArray encCoroutine s.coroutines
        (encArray encEdge s.edges (encArray encEffect s.effects (encArray encWitness s.witnesses
          (encText s.owner k))))))))))))))

/-- The digest of the image in a row; empty if the row does not exist. -/
def digestOf (images : List Loaded) (row : Nat) : Bytes :=
  match getAt images row with
  | some i => i.digest
  | none => []

/-- Encodes sessions one after another. -/
def encSessions (images : List Loaded) : List Session → Bytes → Bytes
  | [], k => k
  | s :: ss, k => encSession (digestOf images s.image) s (encSessions images ss k)

/-- The text `antiphon.machine.v1`. -/
def machineTag : Bytes :=
  [97, 110, 116, 105, 112, 104, 111, 110, 46, 109, 97, 99, 104, 105, 110, 101, 46, 118, 49]

/-- Encodes the whole state of a machine. -/
@[noinline] def encMachine (m : Machine) (k : Bytes) : Bytes :=
  encArrayHead 5 (encText machineTag (encUint m.stepIndex (encUint m.clock
    (encArray encPick m.queue (encArrayHead (count m.sessions) (encSessions m.images m.sessions k))))))

/-- Encodes the result of a step. -/
def encStep (session : Nat) (s : Step) (k : Bytes) : Bytes :=
  match s with
  | .ran => encTag 1 0 k
  | .yielded => encTag 1 1 k
  | .blocked on => encTag 2 2 (encOn on k)
  | .effect number => encTag 2 3 (encEffectId { session, number } k)
  | .halted => encTag 1 4 k
  | .faulted fault => encTag 2 5 (encFault fault k)

/-- Encodes the result of applying an outcome. -/
def encResumed (session : Nat) (r : Resumed) (k : Bytes) : Bytes :=
  match r with
  | .ready coroutine => encTag 2 0 (encUint coroutine k)
  | .reissued number => encTag 2 1 (encEffectId { session, number } k)
  | .faulted fault => encTag 2 2 (encFault fault k)

/-- Encodes the result of an input. -/
def encAnswer (a : Answer) (k : Bytes) : Bytes :=
  match a with
  | .opened session => encTag 2 0 (encUint session k)
  | .resumed session resumed => encTag 2 1 (encResumed session resumed k)
  | .advanced expired => encTag 2 2 (encUint expired k)
  | .cancelled => encTag 1 3 k

/-- Encodes a blocked coroutine and what it waits for. -/
def encWait (w : Wait) (k : Bytes) : Bytes :=
  encArrayHead 4 (encPick w.pick (encOption encUint w.role (encOn w.on (encOption encUint w.server k))))

/-- Encodes the reason why no coroutine is ready. -/
def encRest (r : Rest) (k : Bytes) : Bytes :=
  match r with
  | .idle => encTag 1 0 k
  | .done => encTag 1 1 k
  | .stuck waits => encTag 2 2 (encArray encWait waits k)

/-- Encodes the result of an action. -/
def encResult (r : Result) (k : Bytes) : Bytes :=
  match r with
  | .stepped pick step => encTag 3 0 (encPick pick (encStep pick.session step k))
  | .rested rest => encTag 2 1 (encRest rest k)
  | .taken answer => encTag 2 2 (encAnswer answer k)
  | .refused refusal => encTag 2 3 (encRefusal refusal k)
  | .round picks fellBack => encTag 3 4 (encArray encPick picks (encBool fellBack k))
  | .notReady => encTag 1 5 k
  | .noWidth => encTag 1 6 k

/-- Encodes a request to the world. -/
def encRequest (r : EffectRequest) (k : Bytes) : Bytes :=
  encArrayHead 6 (encEffectId r.effect (encOption encUint r.role (encUint r.operation
    (encOption encUint r.deadline (encUint r.attempt (encArray encValue r.args k))))))

/-- Encodes what a machine shows after an action: the result, the events, the request or `null`, and
the machine's state. -/
@[noinline] def encShown (s : Shown) (m : Machine) (k : Bytes) : Bytes :=
  encArrayHead 4 (encResult s.result (encArray encObsEvent s.events
    (encOption encRequest s.request (encMachine m k))))

end Antiphon
