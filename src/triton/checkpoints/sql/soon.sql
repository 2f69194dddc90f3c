-- Who asks for a lease does not wait long for another one's transaction.
SET LOCAL lock_timeout = '500ms'
