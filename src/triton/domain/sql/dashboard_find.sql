-- What a prospect's dashboard shows by one template.
SELECT tenant, prospect, template, data, job, as_of, version, updated_at, updated_by
FROM prospect_dashboard_data
WHERE tenant = %(tenant)s AND prospect = %(prospect)s AND template = %(template)s
