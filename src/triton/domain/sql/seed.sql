-- Sample records of the tenant that the transaction is in; what is there stays as it is. Ids follow from the
-- tenant and a name, so the same call again adds nothing.
CREATE FUNCTION pg_temp.seed_id(name text) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT md5('triton seed ' || current_setting('triton.tenant') || ' ' || name)::uuid
$$;

INSERT INTO clients (tenant, id, name, industry, website, contact_email, attributes, created_at, created_by, updated_at, updated_by)
SELECT current_setting('triton.tenant'), pg_temp.seed_id('client ' || n), name, industry, '', '',
       jsonb_build_object('employees', 1000 * n), now() + n * interval '1 ms', 'system:seed', now(), 'system:seed'
FROM unnest(ARRAY['Sample Health Plan', 'Sample Care Network', 'Sample Employer Group'],
            ARRAY['health plan', 'provider', 'employer']) WITH ORDINALITY AS s (name, industry, n)
ON CONFLICT DO NOTHING;

INSERT INTO value_propositions (tenant, id, client, title, summary, points, status, created_at, created_by, updated_at, updated_by)
SELECT current_setting('triton.tenant'), pg_temp.seed_id('proposition ' || c || ' ' || p), pg_temp.seed_id('client ' || c),
       (ARRAY['Fewer avoidable admissions', 'Lower pharmacy cost'])[p],
       (ARRAY['Reach members at risk before they are admitted.', 'Move members to generics where these do as well.'])[p],
       jsonb_build_array('What it saves', 'What it takes'), (ARRAY['approved', 'draft'])[p],
       now() + (c * 10 + p) * interval '1 ms', 'system:seed', now(), 'system:seed'
FROM generate_series(1, 3) c, generate_series(1, 2) p
ON CONFLICT DO NOTHING;

INSERT INTO dashboard_templates (tenant, id, name, description, audience, layout, status, created_at, created_by, updated_at, updated_by)
SELECT current_setting('triton.tenant'), pg_temp.seed_id('template ' || n), name, 'A sample.', audience, layout::jsonb,
       'published', now() + n * interval '1 ms', 'system:seed', now(), 'system:seed'
FROM unnest(ARRAY['Cost overview', 'Clinical quality'], ARRAY['finance', 'medical'],
            ARRAY['{"rows": [["pmpm", "pharmacy_share"], ["top_diagnoses"]]}',
                  '{"rows": [["clinical_control"], ["utilization"]]}']) WITH ORDINALITY AS s (name, audience, layout, n)
ON CONFLICT DO NOTHING;

INSERT INTO prospects (tenant, id, client, template, name, stage, members, created_at, created_by, updated_at, updated_by)
SELECT current_setting('triton.tenant'), pg_temp.seed_id('prospect ' || n), pg_temp.seed_id('client ' || (n - 1) % 3 + 1),
       pg_temp.seed_id('template ' || (n - 1) % 2 + 1), 'Sample prospect ' || n,
       (ARRAY['new', 'qualified', 'proposal', 'won', 'lost'])[(n - 1) % 5 + 1], 5000 * n,
       now() + n * interval '1 ms', 'system:seed', now(), 'system:seed'
FROM generate_series(1, 9) n
ON CONFLICT DO NOTHING;

INSERT INTO prospect_dashboard_data (tenant, prospect, template, data, as_of, updated_at, updated_by)
SELECT tenant, id, template, jsonb_build_object('members', members, 'pmpm', round(380 + members / 1000.0, 2)),
       now(), now(), 'system:seed'
FROM prospects WHERE created_by = 'system:seed' AND template IS NOT NULL
ON CONFLICT DO NOTHING;

INSERT INTO roi_models (tenant, id, client, prospect, name, investment, annual_benefit, horizon_months, assumptions, created_at, created_by, updated_at, updated_by)
SELECT tenant, pg_temp.seed_id('roi ' || name), client, id, 'Base case', members * 4, members * 6.5, 36,
       '{"savings_per_member": 6.5}', created_at, 'system:seed', now(), 'system:seed'
FROM prospects WHERE created_by = 'system:seed'
ON CONFLICT DO NOTHING;

INSERT INTO prompts (tenant, id, name, description, template, variables, status, created_at, created_by, updated_at, updated_by)
SELECT current_setting('triton.tenant'), pg_temp.seed_id('prompt ' || n), name, 'A sample.', template,
       jsonb_build_array('document'), 'active', now() + n * interval '1 ms', 'system:seed', now(), 'system:seed'
FROM unnest(ARRAY['summary', 'value points'],
            ARRAY['Summarize {document} in five sentences.', 'List what {document} offers, and to whom.'])
     WITH ORDINALITY AS s (name, template, n)
ON CONFLICT DO NOTHING;

INSERT INTO models (tenant, id, name, provider, identifier, context_tokens, input_price, output_price, created_at, created_by, updated_at, updated_by)
SELECT current_setting('triton.tenant'), pg_temp.seed_id('model ' || n), 'sample ' || n, 'example', 'example-' || n,
       32000 * n, 0.5 * n, 1.5 * n, now() + n * interval '1 ms', 'system:seed', now(), 'system:seed'
FROM generate_series(1, 2) n
ON CONFLICT DO NOTHING;

INSERT INTO executions (tenant, id, prompt, prompt_version, model, status, input, output, input_tokens, output_tokens, cost, started_at, finished_at, created_at, created_by, updated_at, updated_by)
SELECT current_setting('triton.tenant'), pg_temp.seed_id('execution ' || n), p.id, 1,
       pg_temp.seed_id('model ' || (n - 1) % 2 + 1), 'succeeded', '{"document": "a sample"}', '{"text": "A sample."}',
       900 + n, 120 + n, 0.001 * n, now() - n * interval '1 hour', now() - n * interval '1 hour' + interval '2 s',
       now() + n * interval '1 ms', 'system:seed', now(), 'system:seed'
FROM generate_series(1, 6) n JOIN prompts p ON p.id = pg_temp.seed_id('prompt ' || (n - 1) % 2 + 1)
ON CONFLICT DO NOTHING;

INSERT INTO evaluations (tenant, id, execution, metric, score, passed, evaluator, created_at, created_by, updated_at, updated_by)
SELECT tenant, pg_temp.seed_id('evaluation ' || id), id, 'faithfulness', 0.8 + (input_tokens % 10) / 100.0, true,
       'system:seed', finished_at, 'system:seed', finished_at, 'system:seed'
FROM executions WHERE id IN (SELECT pg_temp.seed_id('execution ' || n) FROM generate_series(1, 6) n)
ON CONFLICT DO NOTHING;

INSERT INTO enhancement_history (tenant, id, resource, resource_id, field, before, after, instruction, execution, created_at, created_by)
SELECT tenant, pg_temp.seed_id('enhancement ' || id), 'value_proposition', id, 'summary', '"Reach members."',
       to_jsonb(summary), 'Say when.', pg_temp.seed_id('execution 1'), now(), 'system:seed'
FROM value_propositions WHERE created_by = 'system:seed'
ON CONFLICT DO NOTHING;
