// Follows a job with the client and prints what it gets, a line of JSON each.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { Triton } from "../../../clients/js/triton.js";

const [url, asked, file] = process.argv.slice(2);
const job = asked.startsWith("{") ? JSON.parse(asked) : asked;
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const store = {
  load() {
    try {
      return readFileSync(file, "utf8") || undefined;
    } catch {
      return undefined;
    }
  },
  // Whole or not at all: this process is killed at any moment.
  save: (_, cursor) => {
    writeFileSync(`${file}.new`, cursor);
    renameSync(`${file}.new`, file);
  },
  remove: () => say({ removed: true }),
};
const client = new Triton({ url });
const subscription = client.subscribe(job, {
  ...(file ? { store } : {}),
  onState: (state) => say({ state }),
  onSnapshot: (shown) => say({ snapshot: shown }),
  onReset: (reason) => say({ reset: reason }),
  onEvent: (event, shown) => say({ event, job: shown }),
  onError: (error) => say({ error: error.message, status: error.status }),
});
const ended = await subscription.done.catch(() => null);
say({ done: ended, state: subscription.state });
