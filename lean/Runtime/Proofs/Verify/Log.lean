module

public import Runtime.Proofs.Verify

@[expose] public section

/-!
# The faults in the log of a verified image

An event `faulted` comes from a step that faults or from an effect that fails. So the log of a session
whose image is verified shows only the faults that `docs/semantics.md` lists.
-/

namespace Antiphon

/-- None of the events is a fault. -/
def Faultless (events : List Event) : Prop := ∀ k fault, Event.faulted k fault ∉ events

theorem finish_faultless (s : Session) (how : Ending) : Faultless (finish s how).2 := by
  intro k fault
  simp [finish, leftovers]

theorem fail_faults {s : Session} {who k : Nat} {fault fault' : Fault}
    (h : Event.faulted k fault' ∈ (fail s who fault).2) : fault' = fault := by
  simp only [fail, List.mem_cons, reduceCtorEq, Event.faulted.injEq, false_or] at h
  rcases h with ⟨_, h⟩ | h
  · exact h
  · exact absurd h (finish_faultless _ _ _ _)

theorem executed_faultless {cx : Context} {s : Session} {who : Nat} {c : Coroutine}
    {instruction : Instruction} {stepped : Stepped}
    (h : Executed cx s who c instruction stepped) : Faultless stepped.events := by
  have sent {chan label val next : Nat} {chosen : Bool} {stepped : Stepped}
      (h : Sent cx s who c chan label val next chosen stepped) : Faultless stepped.events := by
    cases h with
    | full => intro k fault; simp [block, plain]
    | put => intro k fault; cases chosen <;> simp [spokenEvent]
  have heard {chan dst : Nat} {chosen : Bool} {next : Nat → Option Nat} {stepped : Stepped}
      (h : Heard cx s who c chan dst chosen next stepped) : Faultless stepped.events := by
    cases h with
    | empty => intro k fault; simp [block, plain]
    | took => intro k fault; cases chosen <;> simp [heardEvent]
  cases h with
  | send h => exact sent h
  | offer _ _ _ h => exact sent h
  | receive h => exact heard h
  | choose h => exact heard h
  | invoke h => cases h; intro k fault; simp
  | check h => cases h; intro k fault; simp
  | spawn h => cases h; intro k fault; simp
  | set => intro k fault; simp [plain]
  | move => intro k fault; simp [plain]
  | jump => intro k fault; simp [plain]
  | branch => intro k fault; simp [plain]
  | «yield» => intro k fault; simp [plain]
  | close h =>
    cases h
    intro k fault h
    simp only [List.mem_cons, reduceCtorEq, false_or] at h
    exact finish_faultless _ _ _ _ h
  | halt h =>
    cases h with
    | last =>
      intro k fault h
      simp only [List.mem_cons, reduceCtorEq, false_or] at h
      exact finish_faultless _ _ _ _ h
    | one => intro k fault; simp

/-- A fault among the events of a step is the step's. -/
theorem step_faults {cx : Context} {s : Session} {who k : Nat} {fault : Fault}
    (h : Event.faulted k fault ∈ (step cx s who).events) :
    ∃ c, s.coroutines[who]? = some c ∧ attempt cx s who c = .error fault := by
  have cases_ := step_cases cx s who
  generalize step cx s who = r at cases_ h
  cases cases_ with
  | absent => simp [still] at h
  | over => simp [still] at h
  | blocked => simp [still] at h
  | ran found active ready fetched executed => exact absurd h (executed_faultless executed _ _)
  | @faulted c fault' found active ready failed =>
    have same : fault = fault' := fail_faults h
    exact ⟨c, found, same ▸ failed⟩

theorem testify_faultless (cx : Context) (s : Session) (effect : Nat) (kind : WitnessKind) :
    Faultless (testify cx s effect kind).2 := by
  intro k fault
  unfold testify
  split
  · split <;> simp
  · simp

theorem succeed_faultless (cx : Context) (s : Session) (e : Effect) (value : Value) :
    Faultless (succeed cx s e value).events := by
  intro k fault
  unfold succeed
  split
  · simp
  · split
    · simp
    · split
      · simp
      · simpa using testify_faultless _ _ _ _ _ _

theorem disappoint_faults (cx : Context) (s : Session) (e : Effect) (o : Operation)
    (kind : FailureKind) (detail : Bytes) : ∀ k fault,
    Event.faulted k fault ∈ (disappoint cx s e o kind detail).events →
      fault = .effectFailed e.number kind := by
  unfold disappoint
  dsimp only
  generalize (match kind with | .unavailable => Nat.blt e.attempt o.retries | _ => false) = again
  intro k fault
  split
  · simp
  · split
    · simp [issue]
    · split
      · simp
      · intro h
        simp only [List.mem_cons, reduceCtorEq, false_or] at h
        exact fail_faults h

/-- A fault among the events of an outcome is the failure of an effect. -/
theorem resume_faults {cx : Context} {s : Session} {number k : Nat} {outcome : Outcome} {taken : Taken}
    {fault : Fault} (ok : resume cx s number outcome = .ok taken)
    (h : Event.faulted k fault ∈ taken.events) : ∃ number kind, fault = .effectFailed number kind := by
  unfold resume at ok
  split at ok
  · split at ok <;> cases ok
  · split at ok
    · cases ok
    · cases ok
      unfold takeOutcome at h
      dsimp only at h
      split at h
      · exact ⟨_, _, disappoint_faults _ _ _ _ _ _ _ _ h⟩
      · split at h
        · exact absurd h (succeed_faultless _ _ _ _ _ _)
        · exact ⟨_, _, disappoint_faults _ _ _ _ _ _ _ _ h⟩

/-- A fault among the events of an expiry is the failure of an effect. -/
theorem expire_faults {cx : Context} {s : Session} {number k : Nat} {taken : Taken} {fault : Fault}
    (ok : expire cx s number = some taken) (h : Event.faulted k fault ∈ taken.events) :
    ∃ number kind, fault = .effectFailed number kind := by
  unfold expire at ok
  split at ok
  · cases ok
  · dsimp only at ok
    split at ok
    · cases ok
    · rename_i taken' hr
      cases ok
      simp only [app_eq, List.mem_append, List.mem_cons, reduceCtorEq, false_or] at h
      rcases h with h | h
      · exact absurd h (testify_faultless _ _ _ _ _ _)
      · exact resume_faults hr h

/-- The faults of a session of a verified image: those of its instructions, and failures of
effects. -/
def Documented (image : CodeImage) (fault : Fault) : Prop :=
  (∃ program pc instruction, image.codeAt program pc = some instruction ∧ MayFault instruction fault) ∨
    ∃ number kind, fault = .effectFailed number kind

theorem lives_documented {i : Loaded} {frames : Frames} (closed : ClosedFrames i.image frames)
    (loaded : i.edges = (i.image.load []).edges) {config : ProtocolMachineConfig} {s : Session}
    {log : List Event} (life : Lives i config s log) :
    ∀ k fault, Event.faulted k fault ∈ log → Documented i.image fault := by
  induction life with
  | opened id row owner => intro k fault h; simp at h
  | step before clock who ih =>
    intro k fault h
    rcases List.mem_append.mp h with h | h
    · exact ih k fault h
    · obtain ⟨c, found, failed⟩ := step_faults h
      obtain ⟨instruction, fetched, may⟩ :=
        attempt_fault closed loaded (lives_placed closed loaded before).1 found failed
      exact .inl ⟨c.program, c.pc, instruction, fetch_codeAt.mp fetched, may⟩
  | outcome before clock number o ok ih =>
    intro k fault h
    rcases List.mem_append.mp h with h | h
    · exact ih k fault h
    · exact .inr (resume_faults ok h)
  | expired before clock number ok ih =>
    intro k fault h
    rcases List.mem_append.mp h with h | h
    · exact ih k fault h
    · exact .inr (expire_faults ok h)
  | @witness s log before number ih =>
    intro k fault h
    rcases List.mem_append.mp h with h | h
    · exact ih k fault h
    · exfalso
      unfold expireWitness at h
      split at h
      · simp at h
      · split at h <;> simp at h
  | @cancelled s log before active ih =>
    intro k fault h
    rcases List.mem_append.mp h with h | h
    · exact ih k fault h
    · exfalso
      simp only [cancel, List.mem_cons, reduceCtorEq, false_or] at h
      exact finish_faultless _ _ _ _ h

/-- In every run of loaded images, every fault that the log shows of a session whose image is verified
is one that `MayFault` lists for an instruction of the image, or the failure of an effect. -/
theorem verified_log (config : ProtocolMachineConfig) (images : List (Bytes × CodeImage))
    (as : List Action) {n : Nat} {s : Session} {i : Loaded}
    (hs : (runOf config (loadImages images) as).machine.sessions[n]? = some s)
    (hi : (loadImages images)[s.image]? = some i) (verified : i.image.verify = .ok ()) :
    ∀ k fault, Event.faulted k fault ∈ logOf n (runOf config (loadImages images) as).events →
      Documented i.image fault := by
  obtain ⟨frames, closed⟩ := verify_closed verified
  exact lives_documented closed (loadImages_edges (List.mem_of_getElem? hi))
    ((good_run config (loadImages images) as).life hs hi)

end Antiphon
