-- Measured values of a month, as claims.sql: normal around what is usual.
INSERT INTO clinical
WITH
    toUInt64(toYYYYMM({month:Date})) * 10000000000 + number AS id,
    toDayOfMonth(toLastDayOfMonth({month:Date})) AS days,
    cityHash64('measure', id) % 4 + 1 AS m,
    (cityHash64('cu', id) % 1000000 + 1) / 1000001 AS u,
    (cityHash64('cv', id) % 1000000) / 1000000 AS v,
    sqrt(-2 * log(u)) * cos(2 * pi() * v) AS normal
SELECT
    {tenant:String}, id, cityHash64('measured', id) % {members:UInt32}, {month:Date} + cityHash64('seen', id) % days,
    ['a1c', 'ldl', 'systolic', 'bmi'][m],
    round(greatest([6.6, 112., 129., 28.5][m] + normal * [1.3, 32., 16., 5.5][m], [3.5, 20., 70., 13.][m]), 1)
FROM numbers({first:UInt64}, {count:UInt64})
