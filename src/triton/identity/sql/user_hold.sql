-- Until the end of the transaction nobody else changes this user: what is read now is what is written over.
SELECT id FROM users WHERE id = %(user)s OR login = %(user)s FOR UPDATE
