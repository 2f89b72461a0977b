module

public import Runtime.Proofs.Step.Cases
public import Runtime.Proofs.Step.Kept
public import Runtime.Proofs.Step.Frame
public import Runtime.Proofs.Step.Reads

@[expose] public section

/-! # The step: its cases, what it keeps, what it writes (`step_frame`), what it reads (`step_reads`) -/
