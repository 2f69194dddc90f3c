-- The next data of a dashboard, where it is at a version that the client knows; null is any.
UPDATE prospect_dashboard_data
SET data = %(data)s, job = %(job)s, as_of = %(as_of)s, version = version + 1, updated_at = %(at)s, updated_by = %(by)s
WHERE tenant = %(tenant)s AND prospect = %(prospect)s AND template = %(template)s
  AND (%(versions)s::integer[] IS NULL OR version = ANY(%(versions)s))
RETURNING tenant, prospect, template, data, job, as_of, version, updated_at, updated_by
