module

public import Runtime.ProtocolMachine.Codec.Cbor
public import Runtime.ProtocolMachine.Model.Config
public import Runtime.ProtocolMachine.Model.Image

@[expose] public section

/-!
# The canonical bytes of values, images and configurations

A structure is encoded as the array of its fields, an alternative as an array that starts with its
number, an enumeration without fields as a number, an absent option as `null`, a table as an array.
The Rust code is in `rust/machine/src/canonical.rs`.
-/

namespace Antiphon

/-- The maximum nesting depth of a value that is decoded; a value without items has depth 1. -/
def depthMax : Nat := 64

mutual
/-- Encodes a value. -/
def encValue : Value → Bytes → Bytes
  | .unit, k => encNull k
  | .bool x, k => encBool x k
  | .nat n, k => encUint n k
  | .int i, k => encTag 2 0 (encInt i k)
  | .text s, k => encText s k
  | .bytes s, k => encBytes s k
  | .list items, k => encArrayHead (count items + 1) (encUint 1 (encValues items k))
  | .record fields, k => encArrayHead (count fields + 1) (encUint 2 (encValues fields k))
  | .endpoint role, k => encTag 2 3 (encUint role k)
  | .evidence witness, k => encTag 2 4 (encUint witness k)

/-- Encodes values one after another. -/
def encValues : List Value → Bytes → Bytes
  | [], k => k
  | v :: vs, k => encValue v (encValues vs k)
end

/-- Decodes the fields of a compound value. -/
def decCompound (item : Bytes → Option (Value × Bytes)) (number n : Nat) (b : Bytes) :
    Option (Value × Bytes) :=
  match number, n with
  | 0, 2 => decAs Value.int (decInt 9223372036854775808) b
  | 1, m + 1 => decAs Value.list (decItems item m) b
  | 2, m + 1 => decAs Value.record (decItems item m) b
  | 3, 2 => decAs Value.endpoint decU16 b
  | 4, 2 => decAs Value.evidence decUint b
  | _, _ => none

/-- Decodes a value of at most this nesting depth. -/
def decValueAt : Nat → Bytes → Option (Value × Bytes)
  | 0, _ => none
  | _ + 1, [] => none
  | depth + 1, x :: b =>
    if x = 246 then some (.unit, b)
    else if x = 244 then some (.bool false, b)
    else if x = 245 then some (.bool true, b)
    else
      let major := x.toNat / 32
      if major = 0 then decAs Value.nat decUint (x :: b)
      else if major = 2 then decAs Value.bytes decBytes (x :: b)
      else if major = 3 then decAs Value.text decText (x :: b)
      else decAlternative (decCompound (decValueAt depth)) (x :: b)

/-- Decodes a value. -/
def decValue (b : Bytes) : Option (Value × Bytes) := decValueAt depthMax b

/-- Encodes a branch of a state. -/
def encTransition (t : Transition) (k : Bytes) : Bytes :=
  encArrayHead 3 (encUint t.label (encUint t.sort (encUint t.next k)))

/-- Decodes a branch of a state. -/
def decTransition (b : Bytes) : Option (Transition × Bytes) :=
  decAs (fun p => { label := p.1, sort := p.2.1, next := p.2.2 })
    (decFields 3 (decThen decU16 (decThen decU16 decU32))) b

/-- Encodes a state of an automaton. -/
def encAutomatonState (s : AutomatonState) (k : Bytes) : Bytes :=
  match s with
  | .done => encTag 1 0 k
  | .send to branches => encTag 3 1 (encUint to (encArray encTransition branches k))
  | .recv peer branches => encTag 3 2 (encUint peer (encArray encTransition branches k))

/-- Decodes the fields of a state. -/
def decAutomatonStateOf (number n : Nat) (b : Bytes) : Option (AutomatonState × Bytes) :=
  match number, n with
  | 0, 1 => decNothing AutomatonState.done b
  | 1, 3 => decAs (fun p => AutomatonState.send p.1 p.2) (decThen decU16 (decArray decTransition)) b
  | 2, 3 => decAs (fun p => AutomatonState.recv p.1 p.2) (decThen decU16 (decArray decTransition)) b
  | _, _ => none

/-- Decodes a state of an automaton. -/
def decAutomatonState (b : Bytes) : Option (AutomatonState × Bytes) :=
  decAlternative decAutomatonStateOf b

/-- Encodes a role; its automaton is a structure of one field. -/
def encRole (r : Role) (k : Bytes) : Bytes :=
  encArrayHead 2 (encText r.name (encArrayHead 1 (encArray encAutomatonState r.states k)))

/-- Decodes a role. -/
def decRole (b : Bytes) : Option (Role × Bytes) :=
  decAs (fun p => { name := p.1, states := p.2 })
    (decFields 2 (decThen decText (decFields 1 (decArray decAutomatonState)))) b

/-- Encodes a field's name and sort. -/
def encField (f : Bytes × Nat) (k : Bytes) : Bytes := encPair encText encUint f k

/-- Decodes a field's name and sort. -/
def decField (b : Bytes) : Option ((Bytes × Nat) × Bytes) := decPair decText decU16 b

/-- Encodes a sort. -/
def encSort (s : PayloadSort) (k : Bytes) : Bytes :=
  match s with
  | .unit => encTag 1 0 k
  | .bool => encTag 1 1 k
  | .nat => encTag 1 2 k
  | .int => encTag 1 3 k
  | .text => encTag 1 4 k
  | .bytes => encTag 1 5 k
  | .list item => encTag 2 6 (encUint item k)
  | .option item => encTag 2 7 (encUint item k)
  | .record name fields => encTag 3 8 (encText name (encArray encField fields k))
  | .enum name variants => encTag 3 9 (encText name (encArray encText variants k))
  | .foreign name => encTag 2 10 (encText name k)
  | .arm labels => encTag 2 11 (encArray encUint labels k)

/-- Decodes the fields of a sort. -/
def decSortOf (number n : Nat) (b : Bytes) : Option (PayloadSort × Bytes) :=
  match number, n with
  | 0, 1 => decNothing PayloadSort.unit b
  | 1, 1 => decNothing PayloadSort.bool b
  | 2, 1 => decNothing PayloadSort.nat b
  | 3, 1 => decNothing PayloadSort.int b
  | 4, 1 => decNothing PayloadSort.text b
  | 5, 1 => decNothing PayloadSort.bytes b
  | 6, 2 => decAs PayloadSort.list decU16 b
  | 7, 2 => decAs PayloadSort.option decU16 b
  | 8, 3 => decAs (fun p => PayloadSort.record p.1 p.2) (decThen decText (decArray decField)) b
  | 9, 3 => decAs (fun p => PayloadSort.enum p.1 p.2) (decThen decText (decArray decText)) b
  | 10, 2 => decAs PayloadSort.foreign decText b
  | 11, 2 => decAs PayloadSort.arm (decArray decU16) b
  | _, _ => none

/-- Decodes a sort. -/
def decSort (b : Bytes) : Option (PayloadSort × Bytes) := decAlternative decSortOf b

/-- Encodes an interface. -/
def encInterface (i : Interface) (k : Bytes) : Bytes :=
  encArrayHead 2 (encText i.name (encUint i.version k))

/-- Decodes an interface. -/
def decInterface (b : Bytes) : Option (Interface × Bytes) :=
  decAs (fun p => { name := p.1, version := p.2 }) (decFields 2 (decThen decText decU32)) b

/-- Encodes an operation's class. -/
def encClass (c : OperationClass) (k : Bytes) : Bytes :=
  match c with
  | .produce label peer => encTag 3 0 (encUint label (encUint peer k))
  | .decide labels peer => encTag 3 1 (encArray encUint labels (encUint peer k))
  | .deliver label peer => encTag 3 2 (encUint label (encUint peer k))
  | .command => encTag 1 3 k
  | .observe => encTag 1 4 k
  | .check => encTag 1 5 k

/-- Decodes the fields of a class. -/
def decClassOf (number n : Nat) (b : Bytes) : Option (OperationClass × Bytes) :=
  match number, n with
  | 0, 3 => decAs (fun p => OperationClass.produce p.1 p.2) (decThen decU16 decU16) b
  | 1, 3 => decAs (fun p => OperationClass.decide p.1 p.2) (decThen (decArray decU16) decU16) b
  | 2, 3 => decAs (fun p => OperationClass.deliver p.1 p.2) (decThen decU16 decU16) b
  | 3, 1 => decNothing OperationClass.command b
  | 4, 1 => decNothing OperationClass.observe b
  | 5, 1 => decNothing OperationClass.check b
  | _, _ => none

/-- Decodes an operation's class. -/
def decClass (b : Bytes) : Option (OperationClass × Bytes) := decAlternative decClassOf b

/-- Encodes an operation. -/
def encOperation (o : Operation) (k : Bytes) : Bytes :=
  encArrayHead 7 (encUint o.interface (encText o.name (encClass o.cls (encArray encUint o.args
    (encUint o.result (encOption encUint o.budget (encUint o.retries k)))))))

/-- Decodes an operation. -/
def decOperation (b : Bytes) : Option (Operation × Bytes) :=
  decAs (fun p => { interface := p.1, name := p.2.1, cls := p.2.2.1, args := p.2.2.2.1,
                    result := p.2.2.2.2.1, budget := p.2.2.2.2.2.1, retries := p.2.2.2.2.2.2 })
    (decFields 7 (decThen decU16 (decThen decText (decThen decClass (decThen (decArray decU16)
      (decThen decU16 (decThen (decOption decUint) decU8))))))) b

/-- Encodes an arm of an `Offer`. -/
def encArm (a : Arm) (k : Bytes) : Bytes :=
  encArrayHead 3 (encUint a.label (encUint a.val (encUint a.target k)))

/-- Decodes an arm of an `Offer`. -/
def decArm (b : Bytes) : Option (Arm × Bytes) :=
  decAs (fun p => { label := p.1, val := p.2.1, target := p.2.2 })
    (decFields 3 (decThen decU16 (decThen decU8 decU32))) b

/-- Encodes a row of a table: a number and its target. -/
def encTarget (t : Nat × Nat) (k : Bytes) : Bytes := encPair encUint encUint t k

/-- Decodes a label and its target. -/
def decLabelTarget (b : Bytes) : Option ((Nat × Nat) × Bytes) := decPair decU16 decU32 b

/-- Decodes a number and its target. -/
def decNumberTarget (b : Bytes) : Option ((Nat × Nat) × Bytes) := decPair decUint decU32 b

/-- Encodes an instruction. -/
def encInstruction (i : Instruction) (k : Bytes) : Bytes :=
  match i with
  | .send chan label val => encTag 4 0 (encUint chan (encUint label (encUint val k)))
  | .receive chan label dst => encTag 4 1 (encUint chan (encUint label (encUint dst k)))
  | .offer chan selector arms =>
    encTag 4 2 (encUint chan (encUint selector (encArray encArm arms k)))
  | .choose chan dst table => encTag 4 3 (encUint chan (encUint dst (encArray encTarget table k)))
  | .invoke operation args dst onFailure =>
    encTag 5 4 (encUint operation (encArray encUint args (encUint dst (encOption encUint onFailure k))))
  | .check operation args dst witness onFailure =>
    encTag 6 5 (encUint operation (encArray encUint args (encUint dst (encUint witness
      (encOption encUint onFailure k)))))
  | .spawn program args dst => encTag 4 6 (encUint program (encArray encUint args (encUint dst k)))
  | .set dst value => encTag 3 7 (encUint dst (encValue value k))
  | .move dst src => encTag 3 8 (encUint dst (encUint src k))
  | .jump target => encTag 2 9 (encUint target k)
  | .branch cond table => encTag 3 10 (encUint cond (encArray encTarget table k))
  | .yield => encTag 1 11 k
  | .close => encTag 1 12 k
  | .halt => encTag 1 13 k

/-- Decodes the fields of an instruction. -/
def decInstructionOf (number n : Nat) (b : Bytes) : Option (Instruction × Bytes) :=
  match number, n with
  | 0, 4 => decAs (fun p => Instruction.send p.1 p.2.1 p.2.2) (decThen decU8 (decThen decU16 decU8)) b
  | 1, 4 => decAs (fun p => Instruction.receive p.1 p.2.1 p.2.2)
      (decThen decU8 (decThen decU16 decU8)) b
  | 2, 4 => decAs (fun p => Instruction.offer p.1 p.2.1 p.2.2)
      (decThen decU8 (decThen decU8 (decArray decArm))) b
  | 3, 4 => decAs (fun p => Instruction.choose p.1 p.2.1 p.2.2)
      (decThen decU8 (decThen decU8 (decArray decLabelTarget))) b
  | 4, 5 => decAs (fun p => Instruction.invoke p.1 p.2.1 p.2.2.1 p.2.2.2)
      (decThen decU16 (decThen (decArray decU8) (decThen decU8 (decOption decU32)))) b
  | 5, 6 => decAs (fun p => Instruction.check p.1 p.2.1 p.2.2.1 p.2.2.2.1 p.2.2.2.2)
      (decThen decU16 (decThen (decArray decU8) (decThen decU8 (decThen decU8 (decOption decU32))))) b
  | 6, 4 => decAs (fun p => Instruction.spawn p.1 p.2.1 p.2.2)
      (decThen decU16 (decThen (decArray decU8) decU8)) b
  | 7, 3 => decAs (fun p => Instruction.set p.1 p.2) (decThen decU8 decValue) b
  | 8, 3 => decAs (fun p => Instruction.move p.1 p.2) (decThen decU8 decU8) b
  | 9, 2 => decAs Instruction.jump decU32 b
  | 10, 3 => decAs (fun p => Instruction.branch p.1 p.2) (decThen decU8 (decArray decNumberTarget)) b
  | 11, 1 => decNothing Instruction.yield b
  | 12, 1 => decNothing Instruction.close b
  | 13, 1 => decNothing Instruction.halt b
  | _, _ => none

/-- Decodes an instruction. -/
def decInstruction (b : Bytes) : Option (Instruction × Bytes) := decAlternative decInstructionOf b

/-- Encodes a program. -/
def encProgram (p : Program) (k : Bytes) : Bytes :=
  encArrayHead 3 (encText p.name (encUint p.registers (encArray encInstruction p.code k)))

/-- Decodes a program. -/
def decProgram (b : Bytes) : Option (Program × Bytes) :=
  decAs (fun p => { name := p.1, registers := p.2.1, code := p.2.2 })
    (decFields 3 (decThen decText (decThen decU8 (decArray decInstruction)))) b

/-- Encodes an image. -/
@[noinline] def encImage (i : CodeImage) (k : Bytes) : Bytes :=
  encArrayHead 8 (encText i.name (encUint i.version (encArray encRole i.roles
    (encArray encText i.labels (encArray encSort i.sorts (encArray encInterface i.interfaces
      (encArray encOperation i.operations (encArray encProgram i.programs k))))))))

/-- Decodes an image. -/
@[noinline] def decImage (b : Bytes) : Option (CodeImage × Bytes) :=
  decAs (fun p => { name := p.1, version := p.2.1, roles := p.2.2.1, labels := p.2.2.2.1,
                    sorts := p.2.2.2.2.1, interfaces := p.2.2.2.2.2.1,
                    operations := p.2.2.2.2.2.2.1, programs := p.2.2.2.2.2.2.2 })
    (decFields 8 (decThen decText (decThen decU32 (decThen (decArray decRole)
      (decThen (decArray decText) (decThen (decArray decSort) (decThen (decArray decInterface)
        (decThen (decArray decOperation) (decArray decProgram))))))))) b

/-- The number that encodes a policy. -/
def SchedulingPolicy.number : SchedulingPolicy → Nat
  | .cooperative => 0 | .roundRobin => 1 | .priority => 2 | .progressAware => 3

/-- Decodes a policy. -/
def decPolicy (b : Bytes) : Option (SchedulingPolicy × Bytes) :=
  match decUint b with
  | some (0, b) => some (.cooperative, b)
  | some (1, b) => some (.roundRobin, b)
  | some (2, b) => some (.priority, b)
  | some (3, b) => some (.progressAware, b)
  | _ => none

/-- The number that encodes a determinism mode. -/
def DeterminismMode.number : DeterminismMode → Nat
  | .full => 0 | .moduloEffects => 1 | .moduloCommutativity => 2 | .replay => 3

/-- Decodes a determinism mode. -/
def decMode (b : Bytes) : Option (DeterminismMode × Bytes) :=
  match decUint b with
  | some (0, b) => some (.full, b)
  | some (1, b) => some (.moduloEffects, b)
  | some (2, b) => some (.moduloCommutativity, b)
  | some (3, b) => some (.replay, b)
  | _ => none

/-- Whether one byte string precedes another in lexicographic order. -/
def bytesLess : Bytes → Bytes → Bool
  | [], [] => false
  | [], _ :: _ => true
  | _ :: _, [] => false
  | x :: xs, y :: ys =>
    if x.toNat < y.toNat then true else if x.toNat = y.toNat then bytesLess xs ys else false

/-- Whether the names of a table are strictly ascending. -/
def namesAscend : List (Bytes × Nat) → Bool
  | [] => true
  | x :: xs => match xs with
    | [] => true
    | y :: _ => match bytesLess x.1 y.1 with
      | true => namesAscend xs
      | false => false

/-- Decodes as `dec` does, and rejects a result that does not satisfy `p`. -/
@[specialize] def decWhere {α : Type} (p : α → Bool) (dec : Bytes → Option (α × Bytes)) (b : Bytes) :
    Option (α × Bytes) :=
  match dec b with
  | none => none
  | some (x, b) => match p x with
    | true => some (x, b)
    | false => none

/-- Decodes a role name and its priority. -/
def decPriority (b : Bytes) : Option ((Bytes × Nat) × Bytes) := decPair decText decU8 b

/-- Encodes a configuration. -/
@[noinline] def encConfig (c : ProtocolMachineConfig) (k : Bytes) : Bytes :=
  encArrayHead 10 (encUint c.policy.number (encArray encField c.priorities (encUint c.bufferMax
    (encUint c.payloadMax (encUint c.coroutinesMax (encUint c.sessionsMax (encUint c.witnessesMax
      (encUint c.witnessTtl (encOption encUint c.effectBudget
        (encUint c.determinismMode.number k))))))))))

/-- Decodes a configuration. -/
@[noinline] def decConfig (b : Bytes) : Option (ProtocolMachineConfig × Bytes) :=
  decAs (fun p => { policy := p.1, priorities := p.2.1, bufferMax := p.2.2.1, payloadMax := p.2.2.2.1,
                    coroutinesMax := p.2.2.2.2.1, sessionsMax := p.2.2.2.2.2.1,
                    witnessesMax := p.2.2.2.2.2.2.1, witnessTtl := p.2.2.2.2.2.2.2.1,
                    effectBudget := p.2.2.2.2.2.2.2.2.1, determinismMode := p.2.2.2.2.2.2.2.2.2 })
    (decFields 10 (decThen decPolicy (decThen (decWhere namesAscend (decArray decPriority))
      (decThen decU32 (decThen decU32 (decThen decU16 (decThen decU32 (decThen decU32
        (decThen decUint (decThen (decOption decUint) decMode)))))))))) b

end Antiphon
