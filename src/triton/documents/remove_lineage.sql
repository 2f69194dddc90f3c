DELETE FROM extraction_lineage WHERE document = %(document)s AND job = %(job)s
