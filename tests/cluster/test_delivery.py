"""Runs the broker's own tests of delivery on a cluster: three primaries, six partitions."""

from __future__ import annotations

from test_broker_jobs import (
    test_a_log_that_was_created_otherwise_is_refused,
    test_a_message_is_a_job_with_three_events,
    test_a_snooze_is_no_failure_and_calls_nobody_back,
    test_an_id_sent_twice_is_one_job,
    test_what_an_actor_sends_belongs_to_its_job,
)
from test_broker_leases import (
    log,
    test_a_job_outlives_its_lease_while_its_worker_lives,
    test_a_stopping_worker_gives_back_what_it_has_not_begun,
    test_jobs_keep_their_leases_while_consumers_are_closed,
)
from test_broker_outcomes import (
    test_a_pipeline_hands_results_on_in_one_step,
    test_a_pipeline_of_one_failed_job_goes_no_further,
    test_each_failure_is_one_retry_and_the_last_one_ends_the_job,
    test_results_are_read_from_heads,
    test_what_hooks_send_is_sent_once_whatever_the_partition,
)
from test_broker_queues import (
    test_a_broker_that_was_used_can_be_forked,
    test_flush_cancels_what_has_not_started,
    test_jobs_of_all_partitions_run,
    test_join_waits_for_what_waits_is_scheduled_and_runs,
)
from test_broker_registry import test_a_worker_is_known_with_what_it_runs
from test_broker_steps import test_a_later_attempt_gets_what_was_recorded
from test_broker_terms import (
    left,
    test_a_queue_that_drains_takes_no_more_but_what_its_jobs_send,
    test_a_running_job_is_not_replaced_but_followed,
    test_an_idempotency_key_is_its_job_also_after_the_end,
    test_jobs_expire_while_the_only_worker_is_busy,
)

__all__ = [
    "left",
    "log",
    "test_a_broker_that_was_used_can_be_forked",
    "test_a_job_outlives_its_lease_while_its_worker_lives",
    "test_a_later_attempt_gets_what_was_recorded",
    "test_a_log_that_was_created_otherwise_is_refused",
    "test_a_message_is_a_job_with_three_events",
    "test_a_pipeline_hands_results_on_in_one_step",
    "test_a_pipeline_of_one_failed_job_goes_no_further",
    "test_a_queue_that_drains_takes_no_more_but_what_its_jobs_send",
    "test_a_running_job_is_not_replaced_but_followed",
    "test_a_snooze_is_no_failure_and_calls_nobody_back",
    "test_a_stopping_worker_gives_back_what_it_has_not_begun",
    "test_a_worker_is_known_with_what_it_runs",
    "test_an_id_sent_twice_is_one_job",
    "test_an_idempotency_key_is_its_job_also_after_the_end",
    "test_each_failure_is_one_retry_and_the_last_one_ends_the_job",
    "test_flush_cancels_what_has_not_started",
    "test_jobs_expire_while_the_only_worker_is_busy",
    "test_jobs_keep_their_leases_while_consumers_are_closed",
    "test_jobs_of_all_partitions_run",
    "test_join_waits_for_what_waits_is_scheduled_and_runs",
    "test_results_are_read_from_heads",
    "test_what_an_actor_sends_belongs_to_its_job",
    "test_what_hooks_send_is_sent_once_whatever_the_partition",
]
