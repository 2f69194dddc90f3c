// Parses each stream of standard input, [chunks as base64], and prints the frames of each.
import { readFileSync } from "node:fs";
import { frames } from "../../../clients/js/triton.js";

const parsed = [];
for (const chunks of JSON.parse(readFileSync(0, "utf8"))) {
  const body = new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(Uint8Array.from(Buffer.from(chunk, "base64")));
      controller.close();
    },
  });
  const found = [];
  for await (const frame of frames(body)) found.push(frame);
  parsed.push(found);
}
process.stdout.write(JSON.stringify(parsed));
