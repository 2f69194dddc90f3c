// Runs the rest of the client's surface once: iterator, waitFor, close, errors. Prints one JSON object.
import { Triton, TritonError, fold, isOver } from "../../../clients/js/triton.js";

const [url, done, running] = process.argv.slice(2);
const client = new Triton({ url });
const said = {};
said.waited = (await client.waitFor(done)).state;
said.over = isOver(await client.job(done));
try {
  await client.waitFor("nobody-knows-it");
} catch (error) {
  said.unknown = [error instanceof TritonError, error.status];
}
try {
  await client.waitFor(running, { timeout: 300 });
} catch (error) {
  said.timeout = error.name;
}
const states = [];
const subscription = client.subscribe(running, { onState: (state) => states.push(state) });
while (subscription.state !== "live") await new Promise((resolve) => setTimeout(resolve, 5));
subscription.close();
said.closed = [(await subscription.done).id, states.at(-1)];
const controller = new AbortController();
setTimeout(() => controller.abort(), 50);
said.followed = [];
for await (const event of client.follow(running, { signal: controller.signal })) said.followed.push(event.type);
const job = await client.job(running);
said.same = fold(job, { version: job.version }) === job;

// A server that repeats itself, and a reader that leaves before its first event was handled.
const event = (version) => `data: {"subject":"j","version":${version},"type":"job.output","data":{}}\nid: c${version}\n\n`;
const text = `event: triton.hello\ndata: {}\nid: c0\n\n${event(1)}${event(2)}${event(1)}${event(2)}event: triton.end\ndata: {}\n\n`;
const answer = () => new Response(text, { headers: { "Content-Type": "text/event-stream" } });
const repeating = new Triton({ fetch: async () => answer() });
said.once = [];
for await (const { version } of repeating.follow("j")) said.once.push(version);
const kept = [];
const store = { load: () => undefined, save: (_, cursor) => kept.push(cursor), remove: () => {} };
for await (const _ of repeating.follow("j", { store })) break;
said.kept = kept;
process.stdout.write(JSON.stringify(said));
process.exit(0);
