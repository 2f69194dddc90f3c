// Owns the React hook: a job that is followed while a component shows it.

import { useEffect, useState } from "react";

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
    // Without a stored cursor, so that a snapshot comes: a component begins with nothing.
    const store = { load: () => undefined, save: () => {}, remove: () => {} };
    const subscription = client.subscribe(id, {
      store,
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
