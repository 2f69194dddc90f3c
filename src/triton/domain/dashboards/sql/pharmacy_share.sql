-- How much of each month's cost is pharmacy, and how many of its fills are generic.
SELECT month, pharmacy, total, round(100 * toFloat64(pharmacy) / toFloat64(total), 2) AS share_percent, generic_percent
FROM
(
    SELECT month, sumIf(paid, category = 'pharmacy') AS pharmacy, sum(paid) AS total
    FROM cost_analysis
    WHERE tenant = {tenant:String} AND month >= {since:Date} AND month < {until:Date}
    GROUP BY month
) AS costs
INNER JOIN
(
    SELECT toStartOfMonth(filled_on) AS month, round(100 * avg(generic), 2) AS generic_percent
    FROM pharmacy
    WHERE tenant = {tenant:String} AND filled_on >= {since:Date} AND filled_on < {until:Date}
    GROUP BY month
) AS fills USING (month)
ORDER BY month
