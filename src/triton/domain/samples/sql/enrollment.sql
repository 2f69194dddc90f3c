-- All members are enrolled in a month, each in its plan.
INSERT INTO enrollment (tenant, month, plan, members)
SELECT {tenant:String}, {month:Date}, ['HMO', 'PPO', 'HDHP'][cityHash64('plan', number) % 3 + 1] AS plan, count()
FROM numbers({members:UInt32})
GROUP BY plan
