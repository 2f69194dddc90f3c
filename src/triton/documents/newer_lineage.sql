SELECT EXISTS (
    SELECT FROM extraction_lineage
    WHERE document = %(document)s AND job = %(job)s AND attempt > %(attempt)s
)
