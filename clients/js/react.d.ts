import type { Filters, Job, JobEvent, StreamState, Triton } from "./triton.js";

export interface Followed<Result = unknown> {
  job: Job<Result> | null;
  state: StreamState;
  error: unknown;
}

/** A job, live. Nothing is followed for an empty id, and nothing runs on a server. */
export function useJob<Result = unknown>(
  client: Triton,
  id: string | null | undefined,
  options?: { onEvent?(event: JobEvent, job: Job | null): void | Promise<void> },
): Followed<Result>;

/** What happens to a job, or to all that fit filters, from now on or from where `from` says. */
export function useEvents(
  client: Triton,
  target: string | Filters | null | undefined,
  onEvent?: (event: JobEvent, job: Job | null) => void | Promise<void>,
): { state: StreamState; error: unknown };
