module

public import Runtime.ProtocolMachine.Runtime.ThreadedRunner
public meta import Lean

@[expose] public section

/-!
# The model's schema

The types of the model as the compiled environment has them: one line for each constructor, with its
fields in order. `main` writes them to a file; the bridge compares them with the kernel's types.
-/

namespace Antiphon

open Lean

/-- The last part of a name. -/
meta def schemaName : Name → String
  | .str _ s => s
  | .num p _ => schemaName p
  | .anonymous => "_"

/-- The text of a type: its name, with its arguments in parentheses. -/
meta def schemaType : Expr → String
  | .const n _ => schemaName n
  | .app f x => schemaType f ++ "(" ++ schemaType x ++ ")"
  | .mdata _ e => schemaType e
  | _ => "?"

/-- The fields of a constructor. -/
meta def schemaFields : Expr → String
  | .forallE n t b _ => " " ++ schemaName n ++ ":" ++ schemaType t ++ schemaFields b
  | _ => ""

/-- The constructors of a type. A structure has one, named `mk`. -/
meta def schemaConstructors (env : Environment) (type : String) : List Name → String
  | [] => ""
  | c :: cs => (match env.find? c with
      | some (.ctorInfo i) => type ++ "." ++ schemaName c ++ schemaFields i.type ++ "\n"
      | _ => type ++ " is not there\n") ++ schemaConstructors env type cs

/-- The lines of a list of types. -/
meta def schemaTypes (env : Environment) : List Name → String
  | [] => ""
  | n :: ns => (match env.find? n with
      | some (.inductInfo i) => schemaConstructors env (schemaName n) i.ctors
      | _ => schemaName n ++ " is not there\n") ++ schemaTypes env ns

/-- The types that have canonical bytes. -/
meta def schemaNames : List Name :=
  [``CodeImage, ``Role, ``AutomatonState, ``Transition, ``PayloadSort, ``Interface, ``Operation,
    ``OperationClass, ``Program, ``Instruction, ``Arm, ``Value, ``Form, ``ProtocolMachineConfig,
    ``SchedulingPolicy, ``DeterminismMode, ``Session, ``Phase, ``Ending, ``Endpoint, ``Coroutine, ``Status,
    ``On, ``Edge, ``Parcel, ``Effect, ``Witness, ``WitnessKind, ``Stamp, ``ObsEvent, ``Event, ``Message,
    ``Fault, ``Table, ``SpeechAct, ``FailureKind, ``Outcome, ``EffectId, ``Refusal, ``Ingress, ``Pick,
    ``Step, ``Resumed, ``Answer, ``Rest, ``Wait, ``EffectRequest]

/-- The schema, read from the environment while this file is elaborated. -/
elab "schema_of_the_model" : term => do
  return mkStrLit (schemaTypes (← getEnv) schemaNames)

/-- The model's schema as text. -/
def schemaText : String := schema_of_the_model

end Antiphon

/-- Writes the schema to the file named by the first argument. -/
public def main (args : List String) : IO Unit :=
  match args with
  | path :: _ => IO.FS.writeFile path (Antiphon.schemaText ++ "complete\n")
  | [] => throw (IO.userError "usage: Schema.lean FILE")
