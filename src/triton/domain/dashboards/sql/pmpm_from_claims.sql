-- The same medical cost per member per month, from every claim.
SELECT month, members, round(toFloat64(medical) / members, 2) AS medical_pmpm
FROM
(
    SELECT toStartOfMonth(service_date) AS month, sum(paid) AS medical
    FROM claims
    WHERE tenant = {tenant:String} AND service_date >= {since:Date} AND service_date < {until:Date}
    GROUP BY month
) AS costs
INNER JOIN
(
    SELECT month, sum(members) AS members
    FROM enrollment FINAL
    WHERE tenant = {tenant:String} AND month >= {since:Date} AND month < {until:Date}
    GROUP BY month
) AS enrolled USING (month)
ORDER BY month
