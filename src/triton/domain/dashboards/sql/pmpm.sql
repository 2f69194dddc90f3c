-- Cost per member per month: medical and pharmacy, from the sums.
SELECT month, members,
       round(toFloat64(medical) / members, 2) AS medical_pmpm,
       round(toFloat64(pharmacy) / members, 2) AS pharmacy_pmpm,
       round(toFloat64(medical + pharmacy) / members, 2) AS total_pmpm
FROM
(
    SELECT month, sumIf(paid, category != 'pharmacy') AS medical, sumIf(paid, category = 'pharmacy') AS pharmacy
    FROM cost_analysis
    WHERE tenant = {tenant:String} AND month >= {since:Date} AND month < {until:Date}
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
