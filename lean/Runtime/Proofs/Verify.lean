module

public import Runtime.Proofs.Verify.Outcomes
public import Runtime.Proofs.Session

@[expose] public section

/-!
# What verification guarantees

In every run, a session whose image is verified has only the faults that `docs/semantics.md` lists.
The theorems are about `CodeImage.verify`, which `Verification.lean` runs and the bridge's tests
compare with the kernel's `CodeImage::verify`.
-/

namespace Antiphon

/-- A session of a verified image: every coroutine agrees with the frame that verification computed
for its position, and every outstanding effect belongs to the instruction at which its coroutine
waits. -/
theorem lives_placed {i : Loaded} {frames : Frames} (closed : ClosedFrames i.image frames)
    (loaded : i.edges = (i.image.load []).edges) {config : ProtocolMachineConfig} {s : Session}
    {log : List Event} (life : Lives i config s log) : Seated i frames s ∧ Waits i s := by
  induction life with
  | opened id row owner =>
    have seated := start_seated closed config id row owner
    exact ⟨seated.keep rfl rfl (Nat.le_refl _) seated.placed, .ended rfl⟩
  | step before clock who ih =>
    have seated := step_seated closed loaded ih.1 config clock who
    have waits := step_waits ih.2 config clock who
    exact ⟨seated.keep rfl rfl (Nat.le_refl _) seated.placed,
      waits.keep rfl rfl (fun _ _ _ hc _ => hc)⟩
  | outcome before clock number o ok ih =>
    obtain ⟨seated, waits, _⟩ := resume_resumes closed ih.1 ih.2 ok
    exact ⟨seated.keep rfl rfl (Nat.le_refl _) seated.placed,
      waits.keep rfl rfl (fun _ _ _ hc _ => hc)⟩
  | expired before clock number ok ih =>
    obtain ⟨seated, waits, _⟩ := expire_resumes closed ih.1 ih.2 ok
    exact ⟨seated.keep rfl rfl (Nat.le_refl _) seated.placed,
      waits.keep rfl rfl (fun _ _ _ hc _ => hc)⟩
  | @witness s log before number ih =>
    have same : (expireWitness s number).1 = { s with witnesses := (expireWitness s number).1.witnesses } := by
      unfold expireWitness
      split
      · rfl
      · split <;> rfl
    refine ⟨?_, ?_⟩
    · rw [same]
      exact ih.1.keep rfl rfl (Nat.le_refl _) ih.1.placed
    · rw [same]
      exact ih.2.keep rfl rfl (fun _ _ _ hc _ => hc)
  | @cancelled s log before active ih =>
    exact ⟨ih.1.keep rfl rfl (Nat.le_refl _) ih.1.placed, .ended rfl⟩

/-- A loaded image's edges are those that `CodeImage.load` computes, whatever its digest. -/
theorem loadImages_edges {images : List (Bytes × CodeImage)} {i : Loaded}
    (h : i ∈ loadImages images) : i.edges = (i.image.load []).edges := by
  induction images with
  | nil => simp [loadImages] at h
  | cons x xs ih =>
    rcases List.mem_cons.mp h with e | h
    · rw [e]; rfl
    · exact ih h

/-- In every run of loaded images, every session of a verified image is as `lives_placed` says. -/
theorem verified_placed (config : ProtocolMachineConfig) (images : List (Bytes × CodeImage))
    (as : List Action) {n : Nat} {s : Session} {i : Loaded}
    (hs : (runOf config (loadImages images) as).machine.sessions[n]? = some s)
    (hi : (loadImages images)[s.image]? = some i) (verified : i.image.verify = .ok ()) :
    ∃ frames, ClosedFrames i.image frames ∧ Seated i frames s ∧ Waits i s := by
  obtain ⟨frames, closed⟩ := verify_closed verified
  exact ⟨frames, closed, lives_placed closed (loadImages_edges (List.mem_of_getElem? hi))
    ((good_run config (loadImages images) as).life hs hi)⟩

/-- In every run of loaded images, a step of a session whose image is verified can fault only as
`MayFault` says of its instruction: a payload may be too large, a coroutine too many, a message one
that the receiver's automaton does not expect, or, at an end, an endpoint open or a buffer not
empty. -/
theorem verified_faults (config : ProtocolMachineConfig) (images : List (Bytes × CodeImage))
    (as : List Action) {n : Nat} {s : Session} {i : Loaded}
    (hs : (runOf config (loadImages images) as).machine.sessions[n]? = some s)
    (hi : (loadImages images)[s.image]? = some i) (verified : i.image.verify = .ok ())
    {clock who : Nat} {fault : Fault}
    (faulted : (step ⟨i, config, clock⟩ s who).step = .faulted fault) :
    ∃ c instruction, s.coroutines[who]? = some c ∧ fetch i c.program c.pc = .ok instruction ∧
      MayFault instruction fault := by
  obtain ⟨frames, closed, seated, _⟩ := verified_placed config images as hs hi verified
  have loaded := loadImages_edges (List.mem_of_getElem? hi)
  have cases_ := step_cases ⟨i, config, clock⟩ s who
  generalize step ⟨i, config, clock⟩ s who = r at cases_ faulted
  cases cases_ with
  | absent => cases faulted
  | over => cases faulted
  | blocked => cases faulted
  | @faulted c fault' found active ready failed =>
    simp only [faulting, Step.faulted.injEq] at faulted
    subst faulted
    obtain ⟨instruction, fetched, may⟩ := attempt_fault closed loaded seated found failed
    exact ⟨c, instruction, found, fetched, may⟩
  | ran found active ready fetched executed =>
    exfalso
    cases executed with
    | send sent => cases sent <;> cases faulted
    | offer _ _ _ sent => cases sent <;> cases faulted
    | receive heard => cases heard <;> cases faulted
    | choose heard => cases heard <;> cases faulted
    | invoke asked => cases asked; cases faulted
    | check asked => cases asked; cases faulted
    | spawn spawned => cases spawned; cases faulted
    | set => cases faulted
    | move => cases faulted
    | jump => cases faulted
    | branch => cases faulted
    | «yield» => cases faulted
    | close closed => cases closed; cases faulted
    | halt halted => cases halted <;> cases faulted

/-- In every run of loaded images, the outcome of an effect of a session whose image is verified can
fault only because the effect failed. -/
theorem verified_outcomes (config : ProtocolMachineConfig) (images : List (Bytes × CodeImage))
    (as : List Action) {n : Nat} {s : Session} {i : Loaded}
    (hs : (runOf config (loadImages images) as).machine.sessions[n]? = some s)
    (hi : (loadImages images)[s.image]? = some i) (verified : i.image.verify = .ok ())
    {clock number : Nat} {outcome : Outcome} {taken : Taken} {fault : Fault}
    (ok : resume ⟨i, config, clock⟩ s number outcome = .ok taken)
    (faulted : taken.resumed = .faulted fault) : ∃ number kind, fault = .effectFailed number kind := by
  obtain ⟨frames, closed, seated, waits⟩ := verified_placed config images as hs hi verified
  exact (resume_resumes closed seated waits ok).fault fault faulted

end Antiphon
