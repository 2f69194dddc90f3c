-- A dashboard's end, where it is at a version that the client knows; null is any.
DELETE FROM prospect_dashboard_data
WHERE tenant = %(tenant)s AND prospect = %(prospect)s AND template = %(template)s
  AND (%(versions)s::integer[] IS NULL OR version = ANY(%(versions)s))
RETURNING tenant, prospect, template, data, job, as_of, version, updated_at, updated_by
