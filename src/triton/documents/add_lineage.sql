INSERT INTO extraction_lineage
    (tenant, document, job, attempt, page, span_start, span_end, kind, extractor, extractor_version,
     document_sha256, at)
VALUES
    (%(tenant)s, %(document)s, %(job)s, %(attempt)s, %(page)s, %(start)s, %(end)s, %(kind)s, %(extractor)s,
     %(version)s, %(document_sha256)s, %(at)s)
