"""Who may do what: principals, permissions, keys, users and their sessions."""
