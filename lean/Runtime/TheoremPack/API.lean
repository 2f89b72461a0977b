module

public import Runtime.Proofs.Step
public import Runtime.Proofs.Concurrency.Picks
public import Runtime.Proofs.Schedule.Steps
public import Runtime.Proofs.Scheduler.Runs
public import Runtime.Proofs.Session
public import Runtime.Proofs.Safety.Runs
public import Runtime.Proofs.Replay
public import Runtime.Proofs.Effects
public import Runtime.Proofs.Codec

@[expose] public noncomputable section

/-!
# The theorems, in order

Every headline theorem by name, in one environment. Nothing is restated: what a theorem says stands with it, and in
`README.md`.
-/

namespace Antiphon

/-! Steps: what one writes, what it depends on, and that what is refused changes nothing. -/

example := @step_frame
example := @step_reads
example := @step_refused_unchanged

/-! Waves: the checker accepts the disjoint ones, what it accepts is exact, what it refuses is one step, and what is
planned is accepted. -/

example := @check_wave_iff
example := @certified_wave_exact
example := @invalid_wave_is_one_step
example := @plan_checks

/-! Rounds: of one, the canonical runner; of any width, the run of the round's own pick list; of none, refused. -/

example := @sched_round_threaded_one_eq_sched_round_one
example := @run_scheduled_threaded_one_eq_run_scheduled
example := @per_session_trace_threaded_one_eq_canonical
example := @round_is_run_of_its_picks
example := @round_of_no_width
example := @wave_is_its_turns
example := @round_is_its_pick_list
example := @run_is_its_pick_list

/-! Schedules: a session depends on its own turns and inputs only, so complete runs of any widths agree. -/

example := @threaded_round_refinement_premises
example := @act_is_deeds
example := @schedule_independence
example := @same_turns_same_session
example := @complete_runs_agree
example := @complete_rounds_agree
example := @complete_rounds_canonical
example := @complete_schedules_same_machine
example := @complete_rounds_same_machine

/-! The scheduler: who is picked is ready, round robin serves everybody, priority starves, and no step knows the policy. -/

example := @queue_ready_of_run
example := @pick_is_ready
example := @round_robin_serves
example := @priority_starves
example := @policy_not_in_step

/-! Sessions: they keep to their protocol, and nothing is lost or reordered on the way. -/

example := @session_fidelity
example := @fifo_conservation
example := @buffers_bounded
example := @payload_sorts

/-! Safety certificates: what the checker accepts is safe, and so is every session of it; with larger buffers, where nobody
waits for room. -/

example := @safety_certificate_sound
example := @judged_sound
example := @certified_sessions_safe
example := @certified_safe_larger_buffers
example := @certified_sessions_safe_larger_buffers

/-! Replay: it gives the run back, and accepts only what the machine asks. -/

example := @replay_sound
example := @replay_faithful
example := @replay_deterministic

/-! Effects: each ends once at most, and those of a session that has ended have ended. -/

example := @effect_one_outcome
example := @issued_effect_ends
example := @late_outcome_changes_nothing

/-! The codec: what is written is read back, nothing else is read, and frames do not depend on how the stream is split. -/

example := @value_decode_encode
example := @value_encode_decode
example := @value_encode_injective
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
