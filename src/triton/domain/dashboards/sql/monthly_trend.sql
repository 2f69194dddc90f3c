-- Claims and money by month and kind of care.
SELECT toStartOfMonth(service_date) AS month, type, count() AS claims, sum(billed) AS billed, sum(allowed) AS allowed,
       sum(paid) AS paid, countIf(status = 'denied') AS denied
FROM claims
WHERE tenant = {tenant:String} AND service_date >= {since:Date} AND service_date < {until:Date}
GROUP BY month, type
ORDER BY month, type
