-- The first data of a dashboard; nothing where there is some.
INSERT INTO prospect_dashboard_data (tenant, prospect, template, data, job, as_of, updated_at, updated_by)
VALUES (%(tenant)s, %(prospect)s, %(template)s, %(data)s, %(job)s, %(as_of)s, %(at)s, %(by)s)
ON CONFLICT (tenant, prospect, template) DO NOTHING
RETURNING tenant, prospect, template, data, job, as_of, version, updated_at, updated_by
