// Owns the React hooks: a job, or what happens to many, followed while a component shows it.

import { useEffect, useState } from "react";

/** Without a stored cursor, so that a snapshot comes: a component begins with nothing. */
const NO_STORE = { load: () => undefined, save: () => {}, remove: () => {} };
const NOTHING = { job: null, state: "connecting", error: null };

/**
 * `{job, state, error}` of a job, live. Nothing is followed for an empty id. `onEvent` hears each event; the
 * latest one given is used. On a server nothing runs.
 */
export function useJob(client, id, { onEvent } = {}) {
  const [shown, show] = useState(NOTHING);
  const [heard] = useState({ onEvent });
  heard.onEvent = onEvent;
  useEffect(() => {
    show(NOTHING);
    if (!id) return undefined;
    let shows = true;
    const change = (what) => shows && show((before) => ({ ...before, ...what }));
    const subscription = client.subscribe(id, {
      store: NO_STORE,
      onState: (state) => change({ state }),
      onSnapshot: (job) => change({ job }),
      onEvent: (event, job) => {
        change({ job });
        return heard.onEvent?.(event, job);
      },
      onError: (error) => change({ error }),
    });
    return () => {
      shows = false;
      subscription.close();
    };
  }, [client, id, heard]);
  return shown;
}

/**
 * `{state, error}` of a stream of many jobs: `target` is a job's id or filters; `onEvent` hears each event. It is
 * followed anew when the target's content changes, not when the object does; from now on, unless it says `from`.
 */
export function useEvents(client, target, onEvent) {
  const [shown, show] = useState({ state: "connecting", error: null });
  const [heard] = useState({ onEvent });
  heard.onEvent = onEvent;
  const asked = JSON.stringify(target ?? null);
  useEffect(() => {
    show({ state: "connecting", error: null });
    const wanted = JSON.parse(asked);
    if (wanted === null) return undefined;
    let shows = true;
    const change = (what) => shows && show((before) => ({ ...before, ...what }));
    const subscription = client.subscribe(wanted, {
      store: NO_STORE,
      onState: (state) => change({ state }),
      onEvent: (event, job) => heard.onEvent?.(event, job),
      onError: (error) => change({ error }),
    });
    return () => {
      shows = false;
      subscription.close();
    };
  }, [client, asked, heard]);
  return shown;
}
