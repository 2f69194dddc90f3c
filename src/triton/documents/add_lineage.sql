COPY extraction_lineage
    (document, job, attempt, page, span_start, span_end, kind, extractor, extractor_version,
     document_sha256, at)
FROM STDIN
