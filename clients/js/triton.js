// Owns following Triton's jobs live from JavaScript: browsers and Node 18+, no dependencies.
//
// A stream is read with fetch, so it can carry an Authorization header. It comes back by itself with the last
// cursor, and hands each event on exactly once: the server sends what follows the cursor, and a cursor counts
// only when the application has handled what came before it.

/** Names of the server's control events; see docs/reference/sse.md. */
const CONTROL = "triton.";
/** Milliseconds of the first and of the longest wait after a failure; chance takes a part of it off. */
const FIRST_WAIT = 200;
const LONGEST_WAIT = 10_000;
/** Milliseconds until the server's own heartbeat is known. */
const HEARTBEAT = 15_000;
/** Heartbeats without a byte after which a connection counts as dead. */
const SILENCE = 2.5;
/** How often in a row a token may not be had until a stream ends: a minute or two. */
const TOKEN_TRIES = 20;
const TERMINAL = new Set(["completed", "failed", "cancelled"]);
const ENDS = new Set(["job.completed", "job.failed", "job.cancelled"]);
/** States that no stream leaves. */
const FINAL = new Set(["ended", "closed", "failed"]);

/** What the server refused for good: `status`, and `code`, `details` and `requestId` as the server said them. */
export class TritonError extends Error {
  constructor(message, { status = 0, problem = null } = {}) {
    super(message);
    this.name = "TritonError";
    this.status = status;
    this.code = problem?.code ?? "";
    this.details = problem?.details ?? {};
    this.requestId = problem?.request_id ?? "";
  }
}

/** A client of one server. `url` is where the API is, without `/api/v1`; empty for the page's own. */
export class Triton {
  constructor({ url = "", token, headers = {}, credentials, store, fetch: fetcher } = {}) {
    this.url = url.replace(/\/+$/, "");
    this._token = token;
    this._headers = headers;
    this._credentials = credentials;
    this.store = store ?? memoryStore();
    this._fetch = fetcher ?? ((...request) => globalThis.fetch(...request));
  }

  /** One job as it is now. Throws TritonError. */
  async job(id) {
    return (await this._get(`/api/v1/jobs/${encodeURIComponent(id)}`)).json();
  }

  /**
   * The events of a job in order until it ends, or of all jobs that fit filters. For `for await`: an event
   * counts as handled when the loop asks for the next one. Throws TritonError where the server refuses for good.
   */
  async *follow(target, options = {}) {
    const stream = new Stream(this, target, options);
    try {
      yield* stream.events();
    } finally {
      stream.close();
    }
  }

  /**
   * Follow with callbacks. Answers a Subscription: `state`, `cursor`, `job`, `done` (a promise), `close()`,
   * `retryNow()`.
   */
  subscribe(target, options = {}) {
    return new Subscription(new Stream(this, target, options), options);
  }

  /**
   * The job once it has ended, followed and not polled for. Throws TritonError; a DOMException named
   * AbortError or TimeoutError where `signal` or `timeout` (milliseconds) ended the wait.
   */
  async waitFor(id, { signal, timeout } = {}) {
    const signals = [signal, timeout === undefined ? undefined : AbortSignal.timeout(timeout)];
    const either = anyOf(signals.filter(Boolean));
    const stream = new Stream(this, id, { signal: either, store: memoryStore() });
    try {
      for await (const _ of stream.events()) if (stream.over) break;
    } finally {
      stream.close();
    }
    either?.throwIfAborted();
    try {
      return await this.job(id);
    } catch (error) {
      // A stream token opens streams only: then the job is known as it was followed.
      if (stream.job && (error.status === 401 || error.status === 403)) return stream.job;
      throw error;
    }
  }

  /** @internal The request's headers; `fresh` asks the application for a new token. */
  async _headersFor(extra, fresh = false) {
    const token = typeof this._token === "function" ? await this._token({ fresh }) : this._token;
    const headers = typeof this._headers === "function" ? await this._headers() : this._headers;
    return { ...headers, ...(token ? { Authorization: `Bearer ${token}` } : {}), ...extra };
  }

  /** @internal */
  async _open(path, { headers, signal }) {
    return this._fetch(this.url + path, {
      headers,
      cache: "no-store",
      ...(this._credentials ? { credentials: this._credentials } : {}),
      signal,
    });
  }

  /** @internal */
  async _get(path) {
    const headers = await this._headersFor({ Accept: "application/json" });
    const response = await this._open(path, { headers });
    if (!response.ok) throw await refusal(response);
    return response;
  }
}

/** @internal One followed target: connections, the cursor, and what has been seen. */
class Stream {
  constructor(client, target, { from, store, key, signal, onState, onReset, onSnapshot, onBreak } = {}) {
    this._client = client;
    this._target = target;
    this._path = pathOf(target);
    this._from = from;
    this._store = store ?? client.store;
    this._key = key ?? `triton:${client.url}${this._path}`;
    this._outer = signal;
    this._own = new AbortController();
    this._tell = { onState, onReset, onSnapshot, onBreak };
    this._versions = new Map();
    this._positions = new Map();
    this._epoch = undefined;
    this._wake = null;
    this._cut = null;
    this._failures = 0;
    this._tokenless = 0;
    this._heartbeat = HEARTBEAT;
    this._retry = null;
    this._expired = false;
    this._fault = null;
    this.cursor = undefined;
    this.state = "connecting";
    /** The jobs whose snapshots came, each as far as it was followed. */
    this.jobs = new Map();
    this.over = false;
  }

  /** The one job that is followed; null until its snapshot. */
  get job() {
    return typeof this._target === "string" ? (this.jobs.get(this._target) ?? null) : null;
  }

  close() {
    this._own.abort();
    this.retryNow();
  }

  /** Ends the wait between two connections. */
  retryNow() {
    this._wake?.();
  }

  /** Ends the connection as a network would: it comes back by itself. For trying just that. */
  cut() {
    this._cut?.();
  }

  get closed() {
    return this._own.signal.aborted || Boolean(this._outer?.aborted);
  }

  async *events() {
    const stop = () => this.close();
    this._outer?.addEventListener("abort", stop, { once: true });
    if (this._outer?.aborted) this._own.abort();
    const deaf = listen(globalThis, ["online", "pageshow"], () => this.retryNow());
    try {
      this.cursor = (await this._store.load(this._key)) ?? this._from;
      while (!this.over && !this.closed) yield* this._connection();
      if (this.over) await this._store.remove(this._key);
      this._become(this.over ? "ended" : "closed");
    } catch (error) {
      if (!this.closed) {
        this._become("failed");
        throw error;
      }
      this._become("closed");
    } finally {
      deaf();
      this._outer?.removeEventListener("abort", stop);
      // Who left the loop early closed it.
      if (!FINAL.has(this.state)) this._become("closed");
    }
  }

  async *_connection() {
    this._become("connecting");
    const connection = new AbortController();
    const cut = () => connection.abort();
    this._cut = cut;
    this._own.signal.addEventListener("abort", cut, { once: true });
    let watch;
    const alive = () => {
      clearTimeout(watch);
      watch = setTimeout(cut, this._heartbeat * SILENCE);
    };
    try {
      alive();
      const response = await this._response(connection.signal);
      if (response === null) return;
      for await (const frame of frames(response.body, alive)) {
        const event = this._take(frame);
        if (event) yield event;
        if (frame.id) {
          this.cursor = frame.id;
          await this._save(frame.id);
        }
        if (this.over) return;
      }
      clearTimeout(watch);
      await this._pause();
    } catch (error) {
      if (error instanceof TritonError || error === this._fault || this.closed) throw error;
      // The network's errors have many names; none of them is an answer.
      clearTimeout(watch);
      this._say(this._tell.onBreak, error);
      await this._pause();
    } finally {
      clearTimeout(watch);
      cut();
      this._own.signal.removeEventListener("abort", cut);
    }
  }

  /** The answer to read; null where there is to be asked again, or the job is over. */
  async _response(signal) {
    const headers = { Accept: "text/event-stream" };
    if (this.cursor) headers["Last-Event-ID"] = this.cursor;
    const expired = this._expired;
    this._expired = false;
    let response = await this._ask(headers, signal, expired);
    if (response.status === 401 && !expired) response = await this._ask(headers, signal, true);
    if (response.status === 204) {
      this.over = true;
      return null;
    }
    if (response.status === 200 && isStream(response)) return response;
    if (response.status === 429 || response.status >= 500) {
      this._say(this._tell.onBreak, await refusal(response));
      await this._pause(retryAfter(response.headers.get("Retry-After")));
      return null;
    }
    throw await refusal(response);
  }

  async _ask(headers, signal, fresh) {
    let all;
    try {
      all = await this._client._headersFor(headers, fresh);
      this._tokenless = 0;
    } catch (error) {
      // It may ask a network that is away, but one that is there and never gives a token is no network's error.
      if (globalThis.navigator?.onLine !== false && ++this._tokenless >= TOKEN_TRIES) this._fault = error;
      throw error;
    }
    return this._client._open(this._path, { headers: all, signal });
  }

  /** What a frame means: an event to hand on, or nothing. */
  _take({ event, data, retry }) {
    if (retry !== null) this._retry = retry;
    if (event.startsWith(CONTROL)) {
      this._control(event.slice(CONTROL.length), data ? JSON.parse(data) : {});
      return null;
    }
    if (event !== "message" || data === "") return null;
    const found = JSON.parse(data);
    if (found.version <= (this._versions.get(found.subject) ?? 0)) return null;
    if (found.position <= (this._positions.get(found.partition) ?? 0)) return null;
    this._positions.set(found.partition, found.position);
    // Of a job that has ended, its position is enough: a page that follows all jobs for days keeps few.
    if (ENDS.has(found.type) && !this.jobs.has(found.subject)) this._versions.delete(found.subject);
    else this._versions.set(found.subject, found.version);
    const job = this.jobs.get(found.subject);
    if (job) this.jobs.set(found.subject, fold(job, found));
    return found;
  }

  _control(name, data) {
    switch (name) {
      case "hello":
        this._failures = 0;
        this._heartbeat = data.heartbeat_ms ?? this._heartbeat;
        if (data.epoch !== this._epoch) this._forget();
        this._epoch = data.epoch;
        this._become("replaying");
        break;
      case "snapshot":
        this.jobs.set(data.id, data);
        this._versions.set(data.id, data.version);
        this._say(this._tell.onSnapshot, data);
        break;
      case "caught-up":
        this._become("live");
        break;
      case "reset":
        this._forget();
        this.jobs.clear();
        this._say(this._tell.onReset, data.reason);
        break;
      case "bye":
        this._retry = data.retry_ms ?? this._retry;
        if (data.reason === "expired") {
          this._expired = true;
          this._retry = 0;
        }
        break;
      case "end":
        this.over = true;
        break;
    }
  }

  _forget() {
    this._versions.clear();
    this._positions.clear();
  }

  /** Waits before the next connection: as long as the server asked, or ever longer by chance. */
  async _pause(atLeast = null) {
    if (this.over || this.closed) return;
    this._become(globalThis.navigator?.onLine === false ? "offline" : "waiting");
    const most = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this._failures++);
    const wait = atLeast ?? this._retry ?? Math.random() * most;
    this._retry = null;
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, wait);
      this._wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this._wake = null;
  }

  _become(state) {
    if (this.state === state) return;
    this.state = state;
    this._say(this._tell.onState, state);
  }

  /** Tells the application. What it throws is its own error, and no reason to connect again. */
  _say(listener, said) {
    try {
      listener?.(said);
    } catch (error) {
      this._fault = error;
      throw error;
    }
  }

  async _save(cursor) {
    try {
      await this._store.save(this._key, cursor);
    } catch (error) {
      this._fault = error;
      throw error;
    }
  }

  /** What the application threw while it handled an event ends the stream. */
  fail() {
    if (!this.closed) this._become("failed");
  }
}

/** What `subscribe` answers. */
class Subscription {
  constructor(stream, { onEvent, onEnd, onError }) {
    this._stream = stream;
    /** Fulfilled with the job as last known when the stream is over or closed; rejected with what ended it. */
    this.done = this._run(onEvent, onEnd);
    this.done.catch((error) => onError?.(error));
  }

  get state() {
    return this._stream.state;
  }

  get cursor() {
    return this._stream.cursor;
  }

  get job() {
    return this._stream.job;
  }

  get jobs() {
    return this._stream.jobs;
  }

  close() {
    this._stream.close();
  }

  retryNow() {
    this._stream.retryNow();
  }

  cut() {
    this._stream.cut();
  }

  async _run(onEvent, onEnd) {
    try {
      for await (const event of this._stream.events())
        try {
          await onEvent?.(event, this._stream.jobs.get(event.subject) ?? null);
        } catch (error) {
          this._stream.fail();
          throw error;
        }
    } finally {
      this._stream.close();
    }
    if (this._stream.over) await onEnd?.(this._stream.job);
    return this._stream.job;
  }
}

/**
 * The job's view after one more event: the same that the server would show at that position. Returns `job`
 * itself for an event that it reflects already.
 */
export function fold(job, event) {
  if (event.version <= job.version) return job;
  const { data, time } = event;
  const next = {
    ...job,
    version: event.version,
    position: event.position,
    updated_at: time,
    cursor: null,
  };
  const change = CHANGES[event.type]?.(data, event) ?? {};
  if (TERMINAL.has(change.state)) Object.assign(change, { finished_at: time, worker: "", due_at: null });
  return { ...next, ...change };
}

/** What each event changes of the view; the twin of `changes` in src/triton/job.py. */
const CHANGES = {
  "job.due": () => ({ state: "pending", due_at: null }),
  "job.started": ({ worker }, { attempt, time }) => ({
    state: "processing",
    attempt,
    worker,
    started_at: time,
    percent: 0,
    stage: "",
  }),
  "job.progressed": ({ percent, stage }) => ({ percent, stage }),
  "job.retry_scheduled": ({ due, error }) => ({ state: "scheduled", due_at: due, error, worker: "" }),
  "job.snoozed": ({ due }) => ({ state: "scheduled", due_at: due, worker: "" }),
  "job.released": () => ({ state: "pending", worker: "" }),
  "job.lease_lost": ({ deaths }) => ({ state: "pending", worker: "", deaths }),
  "job.cancel_requested": ({ reason }) => ({ cancel_requested: true, reason }),
  "job.completed": ({ result }) => ({ state: "completed", result, error: null, percent: 100, reason: "" }),
  "job.failed": ({ error, reason }) => ({ state: "failed", error, reason }),
  "job.cancelled": ({ reason }) => ({ state: "cancelled", reason }),
  "job.requeued": () => ({
    state: "pending",
    deaths: 0,
    finished_at: null,
    cancel_requested: false,
    error: null,
    reason: "",
  }),
};

/** Whether a job's state is one that it ends in. */
export function isOver(job) {
  return TERMINAL.has(job.state);
}

/** Cursors for as long as the page lives. */
export function memoryStore() {
  const kept = new Map();
  return {
    load: (key) => kept.get(key),
    save: (key, cursor) => void kept.set(key, cursor),
    remove: (key) => void kept.delete(key),
  };
}

/** Cursors in `sessionStorage` or `localStorage`: a reload goes on where the page was. */
export function webStore(storage = globalThis.sessionStorage) {
  return {
    load: (key) => storage.getItem(key) ?? undefined,
    save: (key, cursor) => {
      try {
        storage.setItem(key, cursor);
      } catch {
        // It is full, or may not be written: a reload goes on from the cursor before.
      }
    },
    remove: (key) => storage.removeItem(key),
  };
}

/**
 * The frames of an event stream, as the HTML standard reads them. A frame's id counts at the blank line that
 * ends it. `alive` is called for every piece that comes.
 */
export async function* frames(body, alive = () => {}) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let frame = { event: "message", data: null, id: "", retry: null };
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      rest += decoder.decode(value, { stream: true });
      // A CR at the end may be the first half of a CRLF.
      const lines = rest.split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line !== "") {
          field(frame, line);
          continue;
        }
        if (frame.data !== null || frame.id || frame.retry !== null)
          yield { ...frame, data: frame.data ?? "" };
        frame = { event: "message", data: null, id: "", retry: null };
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function field(frame, line) {
  const colon = line.indexOf(":");
  if (colon === 0) return;
  const name = colon < 0 ? line : line.slice(0, colon);
  let value = colon < 0 ? "" : line.slice(colon + 1);
  if (value.startsWith(" ")) value = value.slice(1);
  if (name === "event") frame.event = value || "message";
  else if (name === "data") frame.data = frame.data === null ? value : `${frame.data}\n${value}`;
  else if (name === "id" && !value.includes("\0")) frame.id = value;
  else if (name === "retry" && /^\d+$/.test(value)) frame.retry = Number(value);
}

function pathOf(target) {
  if (typeof target === "string") return `/api/v1/jobs/${encodeURIComponent(target)}/subscribe`;
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(target))
    for (const one of [value].flat())
      if (one !== undefined && one !== null)
        query.append(name, one instanceof Date ? one.toISOString() : String(one));
  return `/api/v1/events/subscribe?${query}`;
}

/** Milliseconds that a Retry-After header asks for, as seconds or as a date; null without one. */
function retryAfter(header) {
  if (!header) return null;
  if (/^\d+$/.test(header.trim())) return Number(header) * 1000;
  const when = Date.parse(header);
  return Number.isNaN(when) ? null : Math.max(0, when - Date.now());
}

function isStream(response) {
  return (response.headers.get("Content-Type") ?? "").startsWith("text/event-stream");
}

async function refusal(response) {
  const text = await response.text().catch(() => "");
  let problem = null;
  try {
    problem = JSON.parse(text);
  } catch {
    // Not a problem document: some proxy's page.
  }
  const said = problem?.message ?? problem?.detail ?? `the server answered ${response.status}`;
  return new TritonError(said, { status: response.status, problem });
}

function listen(target, names, listener) {
  if (!target.addEventListener) return () => {};
  for (const name of names) target.addEventListener(name, listener);
  return () => names.forEach((name) => target.removeEventListener(name, listener));
}

function anyOf(signals) {
  if (signals.length < 2) return signals[0];
  const either = new AbortController();
  for (const signal of signals) {
    if (signal.aborted) either.abort(signal.reason);
    signal.addEventListener("abort", () => either.abort(signal.reason), { once: true });
  }
  return either.signal;
}
