-- Fills of a month, as claims.sql.
INSERT INTO pharmacy
WITH
    toUInt64(toYYYYMM({month:Date})) * 10000000000 + number AS id,
    toDayOfMonth(toLastDayOfMonth({month:Date})) AS days,
    cityHash64('filled by', id) % {members:UInt32} AS who,
    toUInt32(floor(pow((cityHash64('drug', id) % 100000) / 100000, 1.6) * 12)) + 1 AS d,
    ['atorvastatin', 'lisinopril', 'metformin', 'levothyroxine', 'amlodipine', 'albuterol', 'omeprazole', 'sertraline',
     'insulin glargine', 'apixaban', 'semaglutide', 'adalimumab'][d] AS name,
    ['statin', 'ACE inhibitor', 'biguanide', 'thyroid', 'calcium channel blocker', 'beta agonist',
     'proton pump inhibitor', 'SSRI', 'insulin', 'anticoagulant', 'GLP-1', 'biologic'][d] AS class,
    [9., 7., 8., 12., 8., 30., 10., 11., 120., 480., 900., 5400.][d] AS list,
    [30, 90, 30][cityHash64('days', id) % 3 + 1] AS supply,
    least(list * supply / 30 * (0.9 + (cityHash64('price', id) % 200) / 1000), 100000) AS price
SELECT
    {tenant:String}, id, who, ['HMO', 'PPO', 'HDHP'][cityHash64('plan', who) % 3 + 1],
    {month:Date} + cityHash64('filled on', id) % days,
    name, class, d <= 8, supply, supply * (1 + cityHash64('quantity', id) % 2),
    toDecimal64(round(price * 1.3, 2), 2), toDecimal64(round(price * 0.85, 2), 2)
FROM numbers({first:UInt64}, {count:UInt64})
