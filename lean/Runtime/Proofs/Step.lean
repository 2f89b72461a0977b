module

public import Runtime.Proofs.Step.Cases
public import Runtime.Proofs.Step.Kept
public import Runtime.Proofs.Step.Frame
public import Runtime.Proofs.Step.Reads

@[expose] public section

/-! # The step: its cases, its invariants, its writes (`step_frame`) and its reads (`step_reads`) -/
