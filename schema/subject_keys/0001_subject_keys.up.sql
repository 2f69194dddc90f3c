-- Keys of data subjects, in a database of their own: see docs/guides/personal-data.md.
CREATE TABLE subject_keys (
    id        text PRIMARY KEY,
    -- Null once it was destroyed. Then the row is what keeps a key from being made anew.
    blob      bytea,
    made_at   timestamptz NOT NULL DEFAULT now(),
    -- Microseconds since 1970.
    erased_at bigint,
    CHECK ((blob IS NULL) = (erased_at IS NOT NULL))
);

-- The store's own secret, from which the ids of keys follow.
CREATE TABLE subject_keys_pepper (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    pepper bytea NOT NULL
);
