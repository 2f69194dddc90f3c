INSERT INTO sessions (id, "user") VALUES (%(session)s, %(user)s)
