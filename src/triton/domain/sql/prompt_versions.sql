-- The versions of a prompt, or one of them, the newest first.
SELECT prompt, tenant, version, name, template, description, variables, status, created_at, created_by
FROM prompt_versions
WHERE tenant = %(tenant)s AND prompt = %(prompt)s AND (%(version)s::integer IS NULL OR version = %(version)s)
ORDER BY version DESC
LIMIT 1000
