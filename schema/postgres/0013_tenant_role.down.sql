-- The grant stays: other databases of the server may use it.
SELECT 1;
