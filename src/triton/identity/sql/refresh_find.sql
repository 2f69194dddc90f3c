SELECT r.session, s."user" FROM refresh_tokens r JOIN sessions s ON s.id = r.session WHERE r.sha256 = %(sha256)s
