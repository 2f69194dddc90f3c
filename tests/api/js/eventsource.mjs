// Follows a URL with the npm package `eventsource`; prints each event as a line of JSON.
import { createRequire } from "node:module";

const [modules, url] = process.argv.slice(2);
const { EventSource } = createRequire(`${modules}/x.js`)("eventsource");
const source = new EventSource(url);
const say = ({ type, data, lastEventId }) =>
  process.stdout.write(`${JSON.stringify({ event: type, data, id: lastEventId })}\n`);
for (const name of ["message", "triton.hello", "triton.reset", "triton.cursor", "triton.bye", "triton.end"])
  source.addEventListener(name, (event) => {
    say(event);
    if (name === "triton.end") source.close();
  });
