-- Admissions, readmissions and emergency visits of a thousand members, as if each month were a year.
SELECT month,
       round(12000 * admissions / members, 1) AS admissions_per_1000,
       round(12000 * emergency / members, 1) AS emergency_per_1000,
       round(100 * readmissions / greatest(admissions, 1), 1) AS readmitted_percent,
       round(nights / greatest(admissions, 1), 2) AS nights_per_stay
FROM
(
    SELECT toStartOfMonth(at) AS month, countIf(kind IN ('admission', 'readmission')) AS admissions,
           countIf(kind = 'readmission') AS readmissions, countIf(kind = 'emergency') AS emergency, sum(nights) AS nights
    FROM utilization_events
    WHERE tenant = {tenant:String} AND at >= {since:Date} AND at < {until:Date}
    GROUP BY month
) AS events
INNER JOIN
(
    SELECT month, sum(members) AS members
    FROM enrollment FINAL
    WHERE tenant = {tenant:String} AND month >= {since:Date} AND month < {until:Date}
    GROUP BY month
) AS enrolled USING (month)
ORDER BY month
