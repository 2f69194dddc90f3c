-- What a prospect's dashboards show, by template, after the last of the page before.
SELECT tenant, prospect, template, data, job, as_of, version, updated_at, updated_by
FROM prospect_dashboard_data
WHERE tenant = %(tenant)s AND prospect = %(prospect)s
  AND (%(after)s::uuid IS NULL OR template > %(after)s)
ORDER BY template
LIMIT %(limit)s
