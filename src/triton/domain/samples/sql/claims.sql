-- Claims {first} to {first} + {count} of a month. What a claim holds follows from its number and the month alone:
-- each column draws from its own hash of both. Amounts are log-normal, and an inpatient stay costs about 25
-- times a visit; few diagnoses are most of the claims.
INSERT INTO claims
WITH
    toUInt64(toYYYYMM({month:Date})) * 10000000000 + number AS id,
    toDayOfMonth(toLastDayOfMonth({month:Date})) AS days,
    cityHash64('member', id) % {members:UInt32} AS who,
    (cityHash64('type', id) % 1000) / 1000 AS t,
    multiIf(t < 0.64, 'professional', t < 0.90, 'outpatient', t < 0.96, 'emergency', 'inpatient') AS kind,
    (cityHash64('u', id) % 1000000 + 1) / 1000001 AS u,
    (cityHash64('v', id) % 1000000) / 1000000 AS v,
    exp(4.6 + 0.9 * sqrt(-2 * log(u)) * cos(2 * pi() * v)) AS visit,
    least(visit * transform(kind, ['professional', 'outpatient', 'emergency', 'inpatient'], [1., 2.4, 7., 25.], 1.), 2000000) AS price,
    cityHash64('status', id) % 100 AS s,
    multiIf(s < 91, 'paid', s < 98, 'denied', 'pending') AS state,
    pow((cityHash64('diagnosis', id) % 100000) / 100000, 1.8) AS d,
    ['Z00.00', 'I10', 'E11.9', 'E78.5', 'M54.50', 'J06.9', 'F41.1', 'Z23', 'K21.9', 'E66.9', 'G47.33', 'N39.0',
     'J45.909', 'F32.A', 'R05.9', 'M25.561', 'E03.9', 'R07.9', 'I25.10', 'N18.31', 'E11.65', 'J44.9', 'I48.91',
     'I50.9', 'C50.919', 'O80', 'S72.001A', 'A41.9', 'I63.9', 'C34.90'] AS diagnoses,
    ['99213', '99214', '99203', '80053', '85025', '83036', '93000', '71046', '99284', '99285', '99223', '27447'] AS procedures
SELECT
    {tenant:String}, id, who, cityHash64('provider', id) % 5000,
    ['HMO', 'PPO', 'HDHP'][cityHash64('plan', who) % 3 + 1],
    {month:Date} + cityHash64('day', id) % days AS served,
    served + 5 + cityHash64('paid on', id) % 40,
    kind, diagnoses[toUInt32(floor(d * 30)) + 1], procedures[cityHash64('procedure', id) % 12 + 1], state,
    toDecimal64(round(price * 1.9, 2), 2),
    toDecimal64(round(price, 2), 2),
    if(state = 'paid', toDecimal64(round(price * (0.7 + (cityHash64('share', id) % 300) / 1000), 2), 2), toDecimal64(0, 2))
FROM numbers({first:UInt64}, {count:UInt64})
