DROP TABLE login_failures, refresh_tokens, sessions, api_keys, users, organizations;
