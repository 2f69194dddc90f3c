-- The password was right: the account begins anew, and the network has failed once less. What is over goes.
WITH gone AS (
    DELETE FROM login_failures WHERE subject = %(account)s OR until <= clock_timestamp()
)
UPDATE login_failures SET failures = greatest(0, failures - 1) WHERE subject = %(network)s
