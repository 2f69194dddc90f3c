// Follows a job with tokens that soon expire, each fetched as a page would ask its own server for one.
import { Triton } from "../../clients/js/triton.js";

const [url, job, key, ttl] = process.argv.slice(2);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
let held;
async function token({ fresh }) {
  if (held && !fresh) return held;
  const answer = await fetch(`${url}/api/v1/stream-tokens`, {
    method: "POST",
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
    body: JSON.stringify({ jobs: [job], ttl: Number(ttl) }),
  });
  held = (await answer.json()).token;
  say({ token: held, fresh });
  return held;
}
const triton = new Triton({ url, token });
for await (const event of triton.follow(job)) say({ version: event.version });
say({ waited: (await triton.waitFor(job)).state });
