-- The members who cost most, and what part of all it is.
SELECT member, count() AS claims, sum(paid) AS cost, sumIf(paid, type = 'inpatient') AS inpatient,
       round(100 * toFloat64(cost) / sum(toFloat64(cost)) OVER (), 4) AS share_percent
FROM claims
WHERE tenant = {tenant:String} AND service_date >= {since:Date} AND service_date < {until:Date}
GROUP BY member
ORDER BY cost DESC, member
LIMIT 50
