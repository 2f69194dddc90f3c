// Shows a job and all events with real React in StrictMode; prints what is shown, whenever it changes.
import { createRequire } from "node:module";

const [modules, url, id] = process.argv.slice(2);
const require = createRequire(`${modules}/x.js`);
const { JSDOM } = require("jsdom");
const { window } = new JSDOM("<div id=root></div>");
globalThis.window = window;
globalThis.document = window.document;
Object.defineProperty(globalThis, "navigator", { value: window.navigator, configurable: true });

const React = require("react");
const { createRoot } = require("react-dom/client");
const { renderToString } = require("react-dom/server");
const { Triton } = await import(require.resolve("triton-client"));
const { useEvents, useJob } = await import(require.resolve("triton-client/react"));

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const client = new Triton({ url });
const seen = [];
// Both change with every render, as they do where people write them in place.
const Shown = () => {
  const { job, state, error } = useJob(client, id, { onEvent: (event) => seen.push(event.version) });
  const many = useEvents(client, { queue: ["default"] }, () => {});
  React.useEffect(() => {
    say({ state, many: many.state, job: job && { state: job.state, percent: job.percent }, error: error?.message });
  });
  return React.createElement("p", null, job?.state ?? "nothing yet");
};
const shown = React.createElement(React.StrictMode, null, React.createElement(Shown));
say({ server: renderToString(shown) });
const root = createRoot(document.getElementById("root"));
root.render(shown);
for await (const chunk of process.stdin) if (String(chunk).includes("leave")) break;
root.unmount();
say({ seen, left: document.getElementById("root").innerHTML });
