// What a React program writes with the package; the compiler is the test.
import { useEvents, useJob } from "triton-client/react";
import type { Triton } from "triton-client";

export function Shown({ triton, id }: { triton: Triton; id: string | null }) {
  const { job, state, error } = useJob<{ pages: number }>(triton, id, {
    onEvent: (event) => console.log(event.type),
  });
  const mails = useEvents(triton, { queue: "mail", from: "earliest" }, (event) => console.log(event.subject));
  // @ts-expect-error: a job is null until its snapshot.
  const early = job.percent;
  return (
    <p title={String(error ?? mails.error ?? early)}>
      {state} {mails.state} {job?.percent ?? 0} {job?.result?.pages}
    </p>
  );
}
