-- Visits and stays of a month, as claims.sql.
INSERT INTO utilization_events
WITH
    toUInt64(toYYYYMM({month:Date})) * 10000000000 + number AS id,
    toDayOfMonth(toLastDayOfMonth({month:Date})) AS days,
    cityHash64('visits', id) % {members:UInt32} AS who,
    cityHash64('kind', id) % 1000 AS k,
    multiIf(k < 700, 'office_visit', k < 840, 'telehealth', k < 940, 'emergency', k < 990, 'admission', 'readmission') AS what
SELECT
    {tenant:String}, id, who, ['HMO', 'PPO', 'HDHP'][cityHash64('plan', who) % 3 + 1],
    {month:Date} + cityHash64('came', id) % days, what, cityHash64('facility', id) % 400,
    if(what IN ('admission', 'readmission'), 1 + cityHash64('nights', id) % 9, 0)
FROM numbers({first:UInt64}, {count:UInt64})
