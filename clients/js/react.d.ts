import type { Job, JobEvent, StreamState, Triton } from "./triton.js";

export interface Followed<Result = unknown> {
  job: Job<Result> | null;
  state: StreamState;
  error: unknown;
}

export function useJob<Result = unknown>(
  client: Triton,
  id: string | null | undefined,
  options?: { onEvent?(event: JobEvent, job: Job | null): void | Promise<void> },
): Followed<Result>;
