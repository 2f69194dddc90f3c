// Follows filters with our client from a cursor; prints each event, and each cursor when it counts.
import { Triton } from "../../../clients/js/triton.js";

const [url, target, cursor] = process.argv.slice(2);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const client = new Triton({ url });
client.subscribe(JSON.parse(target), {
  store: { load: () => cursor || undefined, save: (_, handled) => say({ cursor: handled }), remove: () => {} },
  onEvent: (event) => say({ event }),
  onReset: (reason) => say({ reset: reason }),
  onEnd: () => say({ end: true }),
});
