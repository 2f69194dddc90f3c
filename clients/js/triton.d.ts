/** Types of the client; the words are those of the log (docs/reference/events.md). */

export type JobState = "scheduled" | "pending" | "processing" | "completed" | "failed" | "cancelled";

export interface JobError {
  type: string;
  message: string;
  traceback: string;
}

/** A job as `GET /api/v1/jobs/{id}` shows it. Times are RFC 3339 in UTC, null for "not yet". */
export interface Job<Result = unknown> {
  id: string;
  actor: string;
  queue: string;
  tenant: string;
  state: JobState;
  percent: number;
  stage: string;
  attempt: number;
  args: unknown[] | null;
  kwargs: Record<string, unknown> | null;
  priority: number;
  result: Result | null;
  error: JobError | null;
  reason: string;
  submitted_at: string;
  due_at: string | null;
  started_at: string | null;
  finished_at: string | null;
  updated_at: string;
  worker: string;
  deaths: number;
  cancel_requested: boolean;
  by: string;
  causation: string;
  correlation: string;
  version: number;
  partition: number;
  position: number;
  cursor: string | null;
  links: Record<string, string>;
}

interface Envelope<Type extends string, Data> {
  specversion: "1.0";
  /** `JOB/VERSION`. */
  id: string;
  source: string;
  type: Type;
  /** The job's id. */
  subject: string;
  time: string;
  partition: number;
  position: number;
  /** Dense per job, from 1: a client proves for itself that it missed nothing. */
  version: number;
  attempt: number;
  by: string;
  tenant: string;
  queue: string;
  causation: string;
  correlation: string;
  traceparent: string;
  data: Data;
}

/** One event of a job; `switch (event.type)` narrows `event.data`. */
export type JobEvent =
  | Envelope<
      "job.submitted",
      {
        actor: string;
        args: unknown[] | null;
        kwargs: Record<string, unknown> | null;
        priority: number;
        due: string | null;
        expires: string | null;
        unique: string;
        window: number;
        payload: string;
        keep: number;
      }
    >
  | Envelope<"job.due", Record<string, never>>
  | Envelope<"job.started", { worker: string }>
  | Envelope<"job.progressed", { percent: number; stage: string }>
  | Envelope<"job.output", { chunk: string }>
  | Envelope<"job.step_completed", { name: string; result: unknown }>
  | Envelope<"job.retry_scheduled", { error: JobError; due: string; retries: number }>
  | Envelope<"job.snoozed", { due: string; reason: string }>
  | Envelope<"job.released", { reason: string }>
  | Envelope<"job.lease_lost", { worker: string; deaths: number }>
  | Envelope<"job.cancel_requested", { reason: string }>
  | Envelope<"job.completed", { result: unknown; omitted: string }>
  | Envelope<"job.failed", { error: JobError; reason: string }>
  | Envelope<"job.cancelled", { reason: string }>
  | Envelope<"job.requeued", { reason: string }>;

/**
 * connecting: asking; replaying: history comes; live: all caught up; waiting: until the next try; offline: the
 * same, and the browser says that there is no network; ended: the job is over; closed: by you; failed: refused.
 */
export type StreamState =
  | "connecting"
  | "replaying"
  | "live"
  | "waiting"
  | "offline"
  | "ended"
  | "closed"
  | "failed";

/** Why the server could not go on from the cursor; a snapshot follows. */
export type ResetReason = "invalid" | "epoch" | "future" | "partition" | "trimmed" | "gap";

/** Where cursors are kept between connections, reloads or machines. */
export interface CursorStore {
  load(key: string): string | undefined | Promise<string | undefined>;
  save(key: string, cursor: string): void | Promise<void>;
  remove(key: string): void | Promise<void>;
}

/** Jobs to follow on one connection: any value of each kind that is given. */
export interface Filters {
  job_id?: string | string[];
  queue?: string | string[];
  actor?: string | string[];
  type?: JobEvent["type"] | JobEvent["type"][];
  batch?: string | string[];
  correlation_id?: string | string[];
  /** For who has no cursor: `now`, `earliest`, a cursor, or a time (RFC 3339). */
  from?: string | Date;
}

export interface TritonOptions {
  /** Where the API is, without `/api/v1`; empty for the page's own origin. */
  url?: string;
  /**
   * An API key, an access token or a stream token, or what makes one: asked with `fresh` after a 401, and when the
   * server says that the one it has expired. Where it throws, a stream tries again, and ends after 20 times in a row.
   */
  token?: string | ((asked: { fresh: boolean }) => string | Promise<string>);
  headers?: Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>);
  credentials?: RequestCredentials;
  store?: CursorStore;
  fetch?: typeof fetch;
}

export interface FollowOptions {
  /** A cursor to begin after, where the store has none. */
  from?: string;
  store?: CursorStore;
  /** The store's key; made of the address by default. */
  key?: string;
  signal?: AbortSignal;
  onState?(state: StreamState): void;
  /** Drop what you derived from events: a snapshot follows. */
  onReset?(reason: ResetReason): void;
  onSnapshot?(job: Job): void;
  /** Why a connection broke, was put off or could not be asked for (`token` threw); the stream comes back by itself. */
  onBreak?(error: unknown): void;
}

export interface SubscribeOptions extends FollowOptions {
  /** May be asynchronous: the cursor counts when it is done, and the next event comes then. */
  onEvent?(event: JobEvent, job: Job | null): void | Promise<void>;
  onEnd?(job: Job | null): void | Promise<void>;
  onError?(error: unknown): void;
}

export interface Subscription {
  readonly state: StreamState;
  readonly cursor: string | undefined;
  /** The one job as far as it was followed; null until the snapshot, and after a resume without one. */
  readonly job: Job | null;
  /** Every job whose snapshot came, by id. */
  readonly jobs: ReadonlyMap<string, Job>;
  readonly done: Promise<Job | null>;
  close(): void;
  /** Ends the wait between two connections. */
  retryNow(): void;
  /** Ends the connection as a network would; it comes back by itself. */
  cut(): void;
}

export class TritonError extends Error {
  readonly status: number;
  /** `not_found`, `forbidden`, ...: docs/reference/http.md. Empty where no API answered. */
  readonly code: string;
  readonly details: Record<string, unknown>;
  readonly requestId: string;
}

export class Triton {
  constructor(options?: TritonOptions);
  readonly url: string;
  readonly store: CursorStore;
  job<Result = unknown>(id: string): Promise<Job<Result>>;
  follow(target: string | Filters, options?: FollowOptions): AsyncGenerator<JobEvent, void, undefined>;
  subscribe(target: string | Filters, options?: SubscribeOptions): Subscription;
  waitFor<Result = unknown>(
    id: string,
    options?: { signal?: AbortSignal; timeout?: number },
  ): Promise<Job<Result>>;
}

export interface Frame {
  event: string;
  data: string;
  id: string;
  retry: number | null;
}

export function fold(job: Job, event: JobEvent): Job;
export function isOver(job: Job): boolean;
export function memoryStore(): CursorStore;
export function webStore(storage?: Storage): CursorStore;
export function frames(body: ReadableStream<Uint8Array>, alive?: () => void): AsyncGenerator<Frame>;
