UPDATE users SET role = %(role)s, name = %(name)s, password_hash = %(hash)s,
       disabled_at = CASE WHEN %(disabled)s THEN coalesce(disabled_at, clock_timestamp()) END
 WHERE id = %(user)s
