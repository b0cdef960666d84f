"""Mistakes that queues on object stores really make, planted one at a time: each takes a `pytest.MonkeyPatch`."""

from __future__ import annotations

from tests.simulation.mistake import ending, lease, reply, search, write

MUTANTS = {
    function.__name__: function
    for function in (
        search.unreadable_job_is_trouble,
        search.unreadable_job_is_gone,
        reply.conflict_means_lost,
        reply.one_read_decides,
        reply.silence_means_done,
        reply.last_writer_is_evidence,
        reply.no_stamp,
        reply.create_conflict_means_taken,
        reply.upload_is_not_repeated,
        lease.commit_without_lease,
        lease.worker_name_is_the_fence,
        lease.local_clock,
        lease.leases_run_out_early,
        lease.lease_is_not_extended,
        lease.attempts_are_not_counted,
        lease.lost_leases_use_up_attempts,
        lease.every_row_of_a_lost_lease_is_charged,
        lease.killers_are_never_charged,
        lease.a_suspect_runs_beside_others,
        lease.suspects_are_not_isolated,
        lease.all_that_were_started_are_blamed,
        lease.back_off_is_ignored,
        write.no_marker,
        write.marker_is_written_once,
        write.marker_before_the_job,
        write.resume_does_nothing,
        write.output_after_its_commit,
        write.unnamed_outputs_are_read,
        ending.markers_have_no_generation,
        ending.orders_are_not_numbered,
        ending.cancel_spares_running_rows,
        ending.cancel_skips_untouched_parts,
        ending.marker_moves_by_way_of_nothing,
        ending.one_final_part_ends_the_job,
        ending.pause_stops_nothing,
        ending.resume_tells_nobody,
        ending.job_read_again_is_not_asked,
        ending.ended_leases_are_forgotten,
        ending.rows_go_back_too_late,
        ending.failure_is_final,
        search.search_ignores_started_jobs,
        search.search_forgets_open_jobs,
        search.empty_listing_means_gone,
        search.stopping_waits_for_ever,
    )
}
