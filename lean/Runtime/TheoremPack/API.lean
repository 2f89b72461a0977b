module

public import Runtime.Proofs.Step
public import Runtime.Proofs.Concurrency.Picks
public import Runtime.Proofs.Schedule.Steps
public import Runtime.Proofs.Scheduler.Runs
public import Runtime.Proofs.Session
public import Runtime.Proofs.Safety.Admission
public import Runtime.Proofs.Replay
public import Runtime.Proofs.Effects
public import Runtime.Proofs.Codec

@[expose] public noncomputable section

/-!
# The headline theorems

Every headline theorem by name, in one environment. No statement is repeated here: each theorem's
meaning is in its doc-string and in `README.md`. A theorem that follows from definitions by
unfolding, or from a headline in a line or two, is a corollary and not a headline.

Each headline has a row in the table of headlines, `Tests/Headlines`, which applies it to a concrete
machine, run or encoding, and refutes its statement for a changed definition.
-/

namespace Antiphon

/-! Steps: a step's writes, its dependencies, and that a refusal changes nothing. -/

example := @step_frame
example := @step_reads
example := @step_refused_unchanged

/-! Waves: the checker accepts exactly the disjoint waves of the current machine, an accepted wave
has the effect of its picks one after another, and planned waves are accepted. -/

example := @check_wave_iff
example := @certified_wave_exact
example := @plan_checks

/-! Rounds: a round of width 1 is the canonical runner's, and a round of any width is the run of the
picks that it shows. -/

example := @sched_round_threaded_one_eq_sched_round_one
example := @wave_is_its_turns
example := @round_is_its_pick_list
example := @run_is_its_pick_list

/-! Schedules: a session depends on its own turns and inputs only, so complete runs of any widths
agree. -/

example := @threaded_round_refinement_premises
example := @act_is_deeds
example := @schedule_independence
example := @same_turns_same_session
example := @complete_runs_agree
example := @complete_rounds_agree
example := @complete_schedules_same_machine

/-! The scheduler: queued coroutines are ready, round robin serves every coroutine, fixed priority
starves some, and no step depends on the policy. -/

example := @queue_ready_of_run
example := @round_robin_serves
example := @priority_starves
example := @policy_not_in_step

/-! Sessions: they follow their protocol, and no message is lost or reordered. -/

example := @session_fidelity
example := @fifo_conservation
example := @buffers_bounded
example := @payload_sorts

/-! Safety certificates: an image with an accepted certificate is safe, and so are its sessions;
also with larger buffers if no role waits for room. Admission tests exactly this. -/

example := @safety_certificate_sound
example := @certified_sessions_safe
example := @certified_safe_larger_buffers
example := @certified_sessions_safe_larger_buffers
example := @admitRun_iff
example := @admitted_sessions_safe

/-! Replay: replaying a recording reproduces the run, and an accepted recording has only requests
that the machine issues. -/

example := @replay_sound
example := @replay_faithful

/-! Effects: each effect ends at most once, and every effect of a finished session has ended. -/

example := @effect_one_outcome
example := @issued_effect_ends
example := @late_outcome_changes_nothing

/-! The codec: decoding inverts encoding, only the deterministic form is accepted, and frames do not
depend on how the stream is split. -/

example := @value_decode_encode
example := @value_encode_decode
example := @image_decode_encode
example := @image_encode_decode
example := @ingress_decode_encode
example := @ingress_encode_decode
example := @case_decode_encode
example := @case_encode_decode
example := @frames_split_anywhere
example := @frames_decode_encode
example := @frames_encode_decode

end Antiphon
