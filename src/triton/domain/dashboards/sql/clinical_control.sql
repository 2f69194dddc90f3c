-- Of each measure: how many members have one, and whose last value is in the range that is aimed at.
SELECT measure, count() AS members, round(avg(last), 1) AS average,
       round(100 * countIf(last < transform(measure, ['a1c', 'ldl', 'systolic', 'bmi'], [8., 100., 140., 30.], 0.)) / count(), 1) AS controlled_percent
FROM
(
    SELECT measure, member, argMax(value, toUInt64(toUInt16(observed_on)) * 10000000000 + observation % 10000000000) AS last
    FROM clinical
    WHERE tenant = {tenant:String} AND observed_on >= {since:Date} AND observed_on < {until:Date}
    GROUP BY measure, member
)
GROUP BY measure
ORDER BY measure
