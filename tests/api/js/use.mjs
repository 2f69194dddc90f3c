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

// What the application's own functions throw is told, and does not look like a network that is away.
said.thrown = [];
const broken = () => {
  throw new RangeError("mine");
};
for (const own of [{ onSnapshot: broken }, { onReset: broken }, { onEvent: broken }, { store: { ...store, save: broken } }]) {
  let asked = 0;
  const frames = "event: triton.reset\ndata: {}\n\nevent: triton.snapshot\ndata: {}\n\n" + text;
  const client = new Triton({
    fetch: async () => {
      asked += 1;
      return new Response(frames, { headers: { "Content-Type": "text/event-stream" } });
    },
  });
  const failing = client.subscribe("j", own);
  const name = await failing.done.catch((error) => error.name);
  said.thrown.push([name, failing.state, asked]);
}

// A token that is never given is told each time, and ends the stream in the end; an error of Triton's at once.
Math.random = () => 0;
said.tokenless = [];
for (const [good, thrown] of [[0, new RangeError("no token")], [19, new RangeError("no token")], [0, new TritonError("no")]]) {
  let asked = 0;
  let broken = 0;
  const token = () => {
    if (++asked === good) return "t";
    throw thrown;
  };
  const never = new Triton({ token, fetch: async () => new Response("", { status: 503 }) });
  const failing = never.subscribe("j", { onBreak: () => (broken += 1) });
  const same = await failing.done.catch((error) => error === thrown);
  said.tokenless.push([same, failing.state, asked, broken]);
}
process.stdout.write(JSON.stringify(said));
process.exit(0);
