-- What extractions took from a document and from where, after the last of the page before.
SELECT job, attempt, page, span_start AS start, span_end AS end, kind, extractor, extractor_version AS version,
       document_sha256, at
FROM extraction_lineage
WHERE tenant = %(tenant)s AND document = %(document)s
  AND (%(job)s::text IS NULL OR job = %(job)s)
  AND (%(last_job)s::text IS NULL
       OR (job, page, span_start, kind) > (%(last_job)s, %(last_page)s, %(last_start)s, %(last_kind)s))
ORDER BY job, page, span_start, kind
LIMIT %(limit)s
