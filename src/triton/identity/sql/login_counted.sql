-- One more try for each subject, before its password is looked at: who guesses in parallel is counted too.
INSERT INTO login_failures AS f (subject, failures, since, until)
SELECT subject, 1, clock_timestamp(), clock_timestamp() + %(window_ms)s * interval '1 millisecond'
  FROM unnest(%(subjects)s::bytea[]) AS subject ORDER BY subject
ON CONFLICT (subject) DO UPDATE
   SET failures = CASE WHEN f.until <= clock_timestamp() THEN 1 ELSE f.failures + 1 END,
       since = CASE WHEN f.until <= clock_timestamp() THEN excluded.since ELSE f.since END,
       until = CASE WHEN f.until <= clock_timestamp() THEN excluded.until ELSE f.until END
RETURNING subject, failures, ceil(extract(epoch FROM until - clock_timestamp()))::integer AS seconds
