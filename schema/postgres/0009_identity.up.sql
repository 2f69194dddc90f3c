-- Who may do what. These rows are looked up before it is known which tenant a request is of.

-- Tenants. Their ids are those that jobs carry in the log.
CREATE TABLE organizations (
    id          text COLLATE "C" PRIMARY KEY CHECK (id <> '' AND length(id) <= 200),
    name        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by  text NOT NULL,
    disabled_at timestamptz
);
INSERT INTO organizations (id, name, created_by) VALUES ('default', 'Default', 'system:migration');

-- People. Without a tenant: of the platform, for every tenant.
CREATE TABLE users (
    id            text COLLATE "C" PRIMARY KEY,
    -- What a person types: lower case, unique on the platform.
    login         text COLLATE "C" NOT NULL UNIQUE
                  CHECK (login = lower(login) AND login <> '' AND length(login) <= 200),
    name          text NOT NULL DEFAULT '',
    tenant        text COLLATE "C" REFERENCES organizations (id),
    role          text NOT NULL CHECK (role IN ('admin', 'operator', 'developer', 'auditor', 'viewer')),
    -- argon2id, or a bcrypt hash that came from elsewhere and is replaced at the next login; null: no login.
    password_hash text,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by    text NOT NULL,
    disabled_at   timestamptz,
    last_login_at timestamptz
);
CREATE INDEX users_tenant ON users (tenant);

-- Only a digest of the key is here. It has 256 random bits, so a fast digest cannot be searched.
CREATE TABLE api_keys (
    prefix       text COLLATE "C" PRIMARY KEY,
    sha256       bytea NOT NULL CHECK (length(sha256) = 32),
    name         text NOT NULL DEFAULT '',
    tenant       text COLLATE "C" REFERENCES organizations (id),
    role         text NOT NULL CHECK (role IN ('admin', 'operator', 'developer', 'auditor', 'viewer')),
    -- Permissions; empty for all of the role.
    scopes       text[] NOT NULL DEFAULT '{}',
    -- Whose it is, if anybody's: it may no more than its owner may, and ends with it.
    owner        text COLLATE "C" REFERENCES users (id) ON DELETE CASCADE,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by   text NOT NULL,
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    revoked_by   text,
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);
CREATE INDEX api_keys_owner ON api_keys (owner) WHERE owner IS NOT NULL;
CREATE INDEX api_keys_tenant ON api_keys (tenant);

-- One for each login: all refresh tokens that follow one another from it.
CREATE TABLE sessions (
    id         text COLLATE "C" PRIMARY KEY,
    "user"     text COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at   timestamptz,
    -- logout | reuse | disabled | password | role | expired
    ended_why  text,
    CHECK ((ended_at IS NULL) = (ended_why IS NULL))
);
CREATE INDEX sessions_user ON sessions ("user");

-- Each is used once: what comes a second time was copied.
CREATE TABLE refresh_tokens (
    sha256     bytea PRIMARY KEY CHECK (length(sha256) = 32),
    session    text COLLATE "C" NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    issued_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session);

-- Wrong passwords, counted for each account and for each network; all processes count together.
CREATE UNLOGGED TABLE login_failures (
    -- A digest of what was tried, or of where from.
    subject  bytea PRIMARY KEY,
    failures integer NOT NULL,
    since    timestamptz NOT NULL,
    until    timestamptz NOT NULL
);
CREATE INDEX login_failures_until ON login_failures (until);
