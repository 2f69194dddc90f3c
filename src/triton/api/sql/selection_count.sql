SELECT s.state, count(*) AS count
--@include selection
GROUP BY s.state
