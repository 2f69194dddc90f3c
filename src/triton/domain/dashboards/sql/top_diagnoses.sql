-- The diagnoses that cost most, with how many claims and members they had.
SELECT diagnosis, count() AS claims, uniqExact(member) AS members, sum(paid) AS cost,
       round(100 * toFloat64(cost) / sum(toFloat64(cost)) OVER (), 2) AS share_percent
FROM claims
WHERE tenant = {tenant:String} AND service_date >= {since:Date} AND service_date < {until:Date}
GROUP BY diagnosis
ORDER BY cost DESC, diagnosis
LIMIT 20
