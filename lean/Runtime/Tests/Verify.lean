module

public import Runtime.Proofs.Verify

@[expose] public section

/-!
# Tests of the theorem on verified images

`verified_faults` applied to a run with a fault, and verifications that each leave out one kind of
error and so break the theorem.
-/

namespace Antiphon.Tests.Verify

/-- The kind of an image's first error. -/
def errorOf (image : CodeImage) : Option VerifyErrorKind :=
  match image.verify with
  | .ok _ => none
  | .error kind => some kind

theorem verified_iff {image : CodeImage} : errorOf image = none ↔ image.verify = .ok () := by
  unfold errorOf
  split
  · rename_i h; simp [h]
  · rename_i h; simp [h]

/-- Two roles, of which the first one's automaton starts with this state; it runs this code. -/
def image (state : AutomatonState) (code : List Instruction) : CodeImage where
  name := []
  version := 0
  roles := [{ name := [], states := [state, .done] },
            { name := [1], states := [.recv 0 [⟨0, 0, 1⟩], .done] }]
  labels := [[], [1]]
  sorts := [.unit, .nat]
  interfaces := [{ name := [], version := 0 }]
  operations := [{ interface := 0, name := [], cls := .command, args := [], result := 0,
                   budget := none, retries := 0 }]
  programs := [{ name := [], registers := 2, code },
               { name := [], registers := 2, code := [.receive 0 0 1, .halt] }]

/-- A configuration that admits payloads of this many bytes. -/
def config (payloadMax : Nat) : ProtocolMachineConfig where
  policy := .roundRobin
  priorities := []
  bufferMax := 1
  payloadMax := payloadMax
  coroutinesMax := 4
  sessionsMax := 4
  witnessesMax := 4
  witnessTtl := 10
  effectBudget := none
  determinismMode := .full

/-- The session of an image that has just been opened. -/
def opened (i : CodeImage) (payloadMax : Nat) : Session :=
  (Session.start (i.load []) (config payloadMax) 0 0 []).counted [.opened [] []]

/-- Sends `label` to the second role. -/
def sends (label sort : Nat) : AutomatonState := .send 1 [⟨label, sort, 1⟩]

/-! ## The theorem, applied -/

/-- The first role sends a unit; its program verifies. -/
def good : CodeImage := image (sends 0 0) [.send 0 0 1, .halt]

theorem good_verified : errorOf good = none := by decide +kernel

/-- In a configuration without room for a unit, the send faults, as `MayFault` says. -/
theorem good_faults :
    (step ⟨good.load [], config 0, 0⟩ (opened good 0) 0).step = .faulted (.payloadTooLarge 1 0) := by
  decide +kernel

theorem applied : ∃ c instruction, (opened good 0).coroutines[0]? = some c ∧
    fetch (good.load []) c.program c.pc = .ok instruction ∧
    MayFault instruction (.payloadTooLarge 1 0) :=
  verified_faults (config 0) [([], good)] [.input (.open [] [])] (n := 0) (s := opened good 0)
    (i := good.load []) rfl rfl (verified_iff.mp good_verified) good_faults

/-! ## Verifications that leave out a kind of error -/

/-- `verified_faults` for another verification. -/
def Sound (verified : CodeImage → Prop) : Prop :=
  ∀ (config : ProtocolMachineConfig) (images : List (Bytes × CodeImage)) (as : List Action) (n : Nat)
    (s : Session) (i : Loaded) (clock who : Nat) (fault : Fault),
    (runOf config (loadImages images) as).machine.sessions[n]? = some s →
    (loadImages images)[s.image]? = some i → verified i.image →
    (step ⟨i, config, clock⟩ s who).step = .faulted fault →
    ∃ c instruction, s.coroutines[who]? = some c ∧ fetch i c.program c.pc = .ok instruction ∧
      MayFault instruction fault

/-- The verification that ignores a kind of error. -/
def Ignoring (kind : VerifyErrorKind) (image : CodeImage) : Prop :=
  errorOf image = none ∨ errorOf image = some kind

theorem real_sound : Sound (fun image => errorOf image = none) :=
  fun config images as _ _ _ _ _ _ hs hi verified faulted =>
    verified_faults config images as hs hi (verified_iff.mp verified) faulted

/-- An image with an error of this kind, whose first instruction has a fault that `MayFault` does not
list. -/
theorem unsound {kind : VerifyErrorKind} {i : CodeImage} (fault : Fault) (refused : errorOf i = some kind)
    (faulted : (step ⟨i.load [], config 64, 0⟩ (opened i 64) 0).step = .faulted fault)
    (first : ∀ c instruction, (opened i 64).coroutines[0]? = some c →
      fetch (i.load []) c.program c.pc = .ok instruction → ¬MayFault instruction fault) :
    ¬Sound (Ignoring kind) := by
  intro sound
  obtain ⟨c, instruction, hc, hi, may⟩ := sound (config 64) [([], i)] [.input (.open [] [])] 0
    (opened i 64) (i.load []) 0 0 fault rfl rfl (.inr refused) faulted
  exact first c instruction hc hi may

theorem register_needed : ¬Sound (Ignoring .noSuchRow) :=
  unsound (i := image (sends 0 0) [.move 0 9, .halt]) (.outOfRegisters 9 2) (by decide +kernel)
    (by decide +kernel) (by intro c instruction hc hi may; cases hc; cases hi; cases may)

theorem endpoint_needed : ¬Sound (Ignoring .notEndpoint) :=
  unsound (i := image (sends 0 0) [.send 1 0 1, .halt]) (.notAnEndpoint 1 .unit) (by decide +kernel)
    (by decide +kernel) (by intro c instruction hc hi may; cases hc; cases hi; cases may)

theorem action_needed : ¬Sound (Ignoring .wrongAction) :=
  unsound (i := image (.recv 1 [⟨0, 0, 1⟩]) [.send 0 0 1, .halt]) (.wrongState 0 0 .send .receive)
    (by decide +kernel) (by decide +kernel)
    (by intro c instruction hc hi may; cases hc; cases hi; cases may)

theorem label_needed : ¬Sound (Ignoring .wrongLabel) :=
  unsound (i := image (sends 0 0) [.send 0 1 1, .halt]) (.wrongLabel 0 0 1) (by decide +kernel)
    (by decide +kernel) (by intro c instruction hc hi may; cases hc; cases hi; cases may)

theorem sort_needed : ¬Sound (Ignoring .wrongSort) :=
  unsound (i := image (sends 0 1) [.send 0 0 1, .halt]) (.wrongSort 1 .unit) (by decide +kernel)
    (by decide +kernel) (by intro c instruction hc hi may; cases hc; cases hi; cases may)

theorem total_needed : ¬Sound (Ignoring .notTotal) :=
  unsound (i := image (sends 0 0) [.branch 1 [(0, 0)], .halt]) (.notANumber .unit) (by decide +kernel)
    (by decide +kernel) (by intro c instruction hc hi may; cases hc; cases hi; cases may)

theorem operation_needed : ¬Sound (Ignoring .wrongOperation) :=
  unsound (i := image (sends 0 0) [.invoke 0 [1] 1 none, .halt]) .wrongOperation (by decide +kernel)
    (by decide +kernel) (by intro c instruction hc hi may; cases hc; cases hi; cases may)

theorem end_needed : ¬Sound (Ignoring .endsEarly) :=
  unsound (i := image (sends 0 0) [.halt]) (.endpointOpen 0 0) (by decide +kernel)
    (by decide +kernel) (by intro c instruction hc hi may; cases hc; cases hi; cases may)

end Antiphon.Tests.Verify
