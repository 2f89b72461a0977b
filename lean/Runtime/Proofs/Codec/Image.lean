module

public import Runtime.Proofs.Codec.Value

@[expose] public section

/-! # The codec of images is exact -/

namespace Antiphon

/-! ## Ranges -/

/-- Whether a branch can be encoded and decoded: every number has the width of its field. -/
def Transition.fits (t : Transition) : Bool := fitsU16 t.label && (fitsU16 t.sort && fitsU32 t.next)

/-- Whether a state can be encoded and decoded. -/
def AutomatonState.fits : AutomatonState → Bool
  | .done => true
  | .send to branches => fitsU16 to && fitsMany Transition.fits branches
  | .recv peer branches => fitsU16 peer && fitsMany Transition.fits branches

/-- Whether a role can be encoded and decoded. -/
def Role.fits (r : Role) : Bool := fitsText r.name && fitsMany AutomatonState.fits r.states

/-- Whether a sort can be encoded and decoded. -/
def PayloadSort.fits : PayloadSort → Bool
  | .unit | .bool | .nat | .int | .text | .bytes => true
  | .list item => fitsU16 item
  | .option item => fitsU16 item
  | .record name fields => fitsText name && fitsMany (fitsPair fitsText fitsU16) fields
  | .enum name variants => fitsText name && fitsMany fitsText variants
  | .foreign name => fitsText name
  | .arm labels => fitsMany fitsU16 labels

/-- Whether an interface can be encoded and decoded. -/
def Interface.fits (i : Interface) : Bool := fitsText i.name && fitsU32 i.version

/-- Whether an operation's class can be encoded and decoded. -/
def OperationClass.fits : OperationClass → Bool
  | .produce label peer => fitsU16 label && fitsU16 peer
  | .decide labels peer => fitsMany fitsU16 labels && fitsU16 peer
  | .deliver label peer => fitsU16 label && fitsU16 peer
  | .command | .observe | .check => true

/-- Whether an operation can be encoded and decoded. -/
def Operation.fits (o : Operation) : Bool :=
  fitsU16 o.interface && (fitsText o.name && (o.cls.fits && (fitsMany fitsU16 o.args &&
    (fitsU16 o.result && (fitsOption fitsU64 o.budget && fitsU8 o.retries)))))

/-- Whether an arm can be encoded and decoded. -/
def Arm.fits (a : Arm) : Bool := fitsU16 a.label && (fitsU8 a.val && fitsU32 a.target)

/-- Whether an instruction can be encoded and decoded. -/
def Instruction.fits : Instruction → Bool
  | .send chan label val => fitsU8 chan && (fitsU16 label && fitsU8 val)
  | .receive chan label dst => fitsU8 chan && (fitsU16 label && fitsU8 dst)
  | .offer chan selector arms => fitsU8 chan && (fitsU8 selector && fitsMany Arm.fits arms)
  | .choose chan dst table => fitsU8 chan && (fitsU8 dst && fitsMany (fitsPair fitsU16 fitsU32) table)
  | .invoke operation args dst onFailure =>
    fitsU16 operation && (fitsMany fitsU8 args && (fitsU8 dst && fitsOption fitsU32 onFailure))
  | .check operation args dst witness onFailure =>
    fitsU16 operation && (fitsMany fitsU8 args && (fitsU8 dst && (fitsU8 witness && fitsOption fitsU32 onFailure)))
  | .spawn program args dst => fitsU16 program && (fitsMany fitsU8 args && fitsU8 dst)
  | .set dst value => fitsU8 dst && value.fits
  | .move dst src => fitsU8 dst && fitsU8 src
  | .jump target => fitsU32 target
  | .branch cond table => fitsU8 cond && fitsMany (fitsPair fitsU64 fitsU32) table
  | .yield | .close | .halt => true

/-- Whether a program can be encoded and decoded. -/
def Program.fits (p : Program) : Bool :=
  fitsText p.name && (fitsU8 p.registers && fitsMany Instruction.fits p.code)

/-- Whether an image can be encoded and decoded. -/
def CodeImage.fits (i : CodeImage) : Bool :=
  fitsText i.name && (fitsU32 i.version && (fitsMany Role.fits i.roles && (fitsMany fitsText i.labels &&
    (fitsMany PayloadSort.fits i.sorts && (fitsMany Interface.fits i.interfaces &&
      (fitsMany Operation.fits i.operations && fitsMany Program.fits i.programs))))))

/-! ## Parts -/

theorem exact_transition : Exact Transition.fits encTransition decTransition :=
  ((exact_u16.both (exact_u16.both exact_u32)).fields 3 (by decide)).as _ (fun t => (t.label, t.sort, t.next))
    (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl) (fun _ => rfl)

theorem exact_automatonState : Exact AutomatonState.fits encAutomatonState decAutomatonState := by
  have speech := exact_u16.both exact_transition.array
  refine .alternative (fun s k f => ?_) (fun number n b s k _ r => ?_)
  · cases s with
    | done => exact ⟨1, 0, k, rfl, by decide, by decide, rfl⟩
    | send to branches => exact ⟨3, 1, _, rfl, by decide, by decide, speech.backAs _ (x := (to, branches)) f⟩
    | recv peer branches => exact ⟨3, 2, _, rfl, by decide, by decide, speech.backAs _ (x := (peer, branches)) f⟩
  · unfold decAutomatonStateOf at r
    split at r
    · obtain ⟨rfl, rfl⟩ := nothing r
      exact ⟨rfl, rfl⟩
    · obtain ⟨p, rfl, rfl, f⟩ := speech.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := speech.onlyAs r
      exact ⟨rfl, f⟩
    · cases r

theorem exact_role : Exact Role.fits encRole decRole :=
  ((exact_text.both (exact_automatonState.array.fields 1 (by decide))).fields 2 (by decide)).as _
    (fun r => (r.name, r.states)) (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl) (fun _ => rfl)

theorem exact_field : Exact (fitsPair fitsText fitsU16) encField decField := exact_text.pair exact_u16

theorem exact_sort : Exact PayloadSort.fits encSort decSort := by
  have record := exact_text.both exact_field.array
  have enum := exact_text.both exact_text.array
  refine .alternative (fun s k f => ?_) (fun number n b s k _ r => ?_)
  · cases s with
    | unit => exact ⟨1, 0, k, rfl, by decide, by decide, rfl⟩
    | bool => exact ⟨1, 1, k, rfl, by decide, by decide, rfl⟩
    | nat => exact ⟨1, 2, k, rfl, by decide, by decide, rfl⟩
    | int => exact ⟨1, 3, k, rfl, by decide, by decide, rfl⟩
    | text => exact ⟨1, 4, k, rfl, by decide, by decide, rfl⟩
    | bytes => exact ⟨1, 5, k, rfl, by decide, by decide, rfl⟩
    | list item => exact ⟨2, 6, _, rfl, by decide, by decide, exact_u16.backAs _ (x := item) f⟩
    | option item => exact ⟨2, 7, _, rfl, by decide, by decide, exact_u16.backAs _ (x := item) f⟩
    | record name fields => exact ⟨3, 8, _, rfl, by decide, by decide, record.backAs _ (x := (name, fields)) f⟩
    | enum name variants => exact ⟨3, 9, _, rfl, by decide, by decide, enum.backAs _ (x := (name, variants)) f⟩
    | foreign name => exact ⟨2, 10, _, rfl, by decide, by decide, exact_text.backAs _ (x := name) f⟩
    | arm labels => exact ⟨2, 11, _, rfl, by decide, by decide, exact_u16.array.backAs _ (x := labels) f⟩
  · unfold decSortOf at r
    split at r
    iterate 6
      · obtain ⟨rfl, rfl⟩ := nothing r
        exact ⟨rfl, rfl⟩
    · obtain ⟨p, rfl, rfl, f⟩ := exact_u16.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := exact_u16.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := record.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := enum.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := exact_text.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := exact_u16.array.onlyAs r
      exact ⟨rfl, f⟩
    · cases r

theorem exact_interface : Exact Interface.fits encInterface decInterface :=
  ((exact_text.both exact_u32).fields 2 (by decide)).as _ (fun i => (i.name, i.version))
    (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl) (fun _ => rfl)

theorem exact_class : Exact OperationClass.fits encClass decClass := by
  have one := exact_u16.both exact_u16
  have many := exact_u16.array.both exact_u16
  refine .alternative (fun c k f => ?_) (fun number n b c k _ r => ?_)
  · cases c with
    | produce label peer => exact ⟨3, 0, _, rfl, by decide, by decide, one.backAs _ (x := (label, peer)) f⟩
    | decide labels peer => exact ⟨3, 1, _, rfl, by decide, by decide, many.backAs _ (x := (labels, peer)) f⟩
    | deliver label peer => exact ⟨3, 2, _, rfl, by decide, by decide, one.backAs _ (x := (label, peer)) f⟩
    | command => exact ⟨1, 3, k, rfl, by decide, by decide, rfl⟩
    | observe => exact ⟨1, 4, k, rfl, by decide, by decide, rfl⟩
    | check => exact ⟨1, 5, k, rfl, by decide, by decide, rfl⟩
  · unfold decClassOf at r
    split at r
    · obtain ⟨p, rfl, rfl, f⟩ := one.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := many.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := one.onlyAs r
      exact ⟨rfl, f⟩
    iterate 3
      · obtain ⟨rfl, rfl⟩ := nothing r
        exact ⟨rfl, rfl⟩
    · cases r

theorem exact_u64Option : Exact (fitsOption fitsU64) (encOption encUint) (decOption decUint) :=
  exact_u64.option rfl (fun _ => rfl)

theorem exact_u32Option : Exact (fitsOption fitsU32) (encOption encUint) (decOption decU32) :=
  exact_u32.option rfl (fun _ => rfl)

theorem exact_operation : Exact Operation.fits encOperation decOperation :=
  ((exact_u16.both (exact_text.both (exact_class.both (exact_u16.array.both (exact_u16.both
    (exact_u64Option.both exact_u8)))))).fields 7 (by decide)).as _
    (fun o => (o.interface, o.name, o.cls, o.args, o.result, o.budget, o.retries))
    (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl) (fun _ => rfl)

theorem exact_arm : Exact Arm.fits encArm decArm :=
  ((exact_u16.both (exact_u8.both exact_u32)).fields 3 (by decide)).as _ (fun a => (a.label, a.val, a.target))
    (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl) (fun _ => rfl)

theorem exact_labelTarget : Exact (fitsPair fitsU16 fitsU32) encTarget decLabelTarget := exact_u16.pair exact_u32

theorem exact_numberTarget : Exact (fitsPair fitsU64 fitsU32) encTarget decNumberTarget := exact_u64.pair exact_u32

theorem exact_instruction : Exact Instruction.fits encInstruction decInstruction := by
  have message := exact_u8.both (exact_u16.both exact_u8)
  have offer := exact_u8.both (exact_u8.both exact_arm.array)
  have choose := exact_u8.both (exact_u8.both exact_labelTarget.array)
  have invoke := exact_u16.both (exact_u8.array.both (exact_u8.both exact_u32Option))
  have check := exact_u16.both (exact_u8.array.both (exact_u8.both (exact_u8.both exact_u32Option)))
  have spawn := exact_u16.both (exact_u8.array.both exact_u8)
  have set := exact_u8.both exact_value
  have move := exact_u8.both exact_u8
  have branch := exact_u8.both exact_numberTarget.array
  refine .alternative (fun i k f => ?_) (fun number n b i k _ r => ?_)
  · cases i with
    | send chan label val => exact ⟨4, 0, _, rfl, by decide, by decide, message.backAs _ (x := (chan, label, val)) f⟩
    | receive chan label dst =>
      exact ⟨4, 1, _, rfl, by decide, by decide, message.backAs _ (x := (chan, label, dst)) f⟩
    | offer chan selector arms =>
      exact ⟨4, 2, _, rfl, by decide, by decide, offer.backAs _ (x := (chan, selector, arms)) f⟩
    | choose chan dst table =>
      exact ⟨4, 3, _, rfl, by decide, by decide, choose.backAs _ (x := (chan, dst, table)) f⟩
    | invoke operation args dst onFailure =>
      exact ⟨5, 4, _, rfl, by decide, by decide, invoke.backAs _ (x := (operation, args, dst, onFailure)) f⟩
    | check operation args dst witness onFailure =>
      exact ⟨6, 5, _, rfl, by decide, by decide,
        check.backAs _ (x := (operation, args, dst, witness, onFailure)) f⟩
    | spawn program args dst =>
      exact ⟨4, 6, _, rfl, by decide, by decide, spawn.backAs _ (x := (program, args, dst)) f⟩
    | set dst value => exact ⟨3, 7, _, rfl, by decide, by decide, set.backAs _ (x := (dst, value)) f⟩
    | move dst src => exact ⟨3, 8, _, rfl, by decide, by decide, move.backAs _ (x := (dst, src)) f⟩
    | jump target => exact ⟨2, 9, _, rfl, by decide, by decide, exact_u32.backAs _ (x := target) f⟩
    | branch cond table => exact ⟨3, 10, _, rfl, by decide, by decide, branch.backAs _ (x := (cond, table)) f⟩
    | yield => exact ⟨1, 11, k, rfl, by decide, by decide, rfl⟩
    | close => exact ⟨1, 12, k, rfl, by decide, by decide, rfl⟩
    | halt => exact ⟨1, 13, k, rfl, by decide, by decide, rfl⟩
  · unfold decInstructionOf at r
    split at r
    iterate 2
      · obtain ⟨p, rfl, rfl, f⟩ := message.onlyAs r
        exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := offer.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := choose.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := invoke.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := check.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := spawn.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := set.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := move.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := exact_u32.onlyAs r
      exact ⟨rfl, f⟩
    · obtain ⟨p, rfl, rfl, f⟩ := branch.onlyAs r
      exact ⟨rfl, f⟩
    iterate 3
      · obtain ⟨rfl, rfl⟩ := nothing r
        exact ⟨rfl, rfl⟩
    · cases r

theorem exact_program : Exact Program.fits encProgram decProgram :=
  ((exact_text.both (exact_u8.both exact_instruction.array)).fields 3 (by decide)).as _
    (fun p => (p.name, p.registers, p.code)) (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl) (fun _ => rfl)

theorem exact_image : Exact CodeImage.fits encImage decImage :=
  ((exact_text.both (exact_u32.both (exact_role.array.both (exact_text.array.both (exact_sort.array.both
    (exact_interface.array.both (exact_operation.array.both exact_program.array))))))).fields 8 (by decide)).as _
    (fun i => (i.name, i.version, i.roles, i.labels, i.sorts, i.interfaces, i.operations, i.programs))
    (fun _ => rfl) (fun _ => rfl) (fun _ _ => rfl) (fun _ => rfl)

end Antiphon
