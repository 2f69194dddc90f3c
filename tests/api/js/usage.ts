// What a TypeScript program writes with the package; the compiler is the test.
import { Triton, TritonError, fold, isOver, webStore, type Job, type JobEvent } from "triton-client";

const triton = new Triton({
  url: "http://127.0.0.1:8000",
  token: async ({ fresh }) => (fresh ? "new" : "old"),
  store: webStore(),
});

export async function all(id: string): Promise<number> {
  const job: Job<{ pages: number }> = await triton.waitFor<{ pages: number }>(id, { timeout: 60_000 });
  for await (const event of triton.follow(id)) {
    if (event.type === "job.progressed") console.log(event.data.percent.toFixed(1));
    if (event.type === "job.failed") console.log(event.data.error.message);
    // @ts-expect-error: a chunk is in job.output only.
    if (event.type === "job.started") console.log(event.data.chunk);
  }
  const subscription = triton.subscribe(
    { queue: ["mail"], type: "job.completed", from: new Date() },
    {
      onEvent: async (event: JobEvent, shown) => void fold(shown ?? job, event),
      onState: (state) => state === "live",
      onReset: (reason) => console.log(reason),
      onError: (error) => error instanceof TritonError && console.log(error.code, error.requestId, error.status),
    },
  );
  // @ts-expect-error: there is no such filter.
  triton.subscribe({ quue: "mail" });
  // @ts-expect-error: there is no such state.
  if (subscription.state === "connected") subscription.close();
  return isOver(job) ? (job.result?.pages ?? 0) : 0;
}
