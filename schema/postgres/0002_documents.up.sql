-- What was uploaded, and which extraction took what from where.

CREATE TABLE documents (
    id          text COLLATE "C" PRIMARY KEY,
    tenant      text NOT NULL,
    filename    text NOT NULL,
    -- As the sender announced it; empty where nothing was announced. What it is, the extraction says.
    media_type  text NOT NULL,
    sha256      text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    size        bigint NOT NULL CHECK (size >= 0),
    archive_key text NOT NULL,
    uploaded_at timestamptz NOT NULL,
    uploaded_by text NOT NULL
);
CREATE INDEX documents_tenant ON documents (tenant, uploaded_at, id);

-- Characters span_start to span_end (exclusive) of the page's text in the job's result. A job that runs
-- again replaces its rows: they tell of its last attempt.
CREATE TABLE extraction_lineage (
    document          text COLLATE "C" NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    job               text COLLATE "C" NOT NULL,
    attempt           integer NOT NULL,
    page              integer NOT NULL CHECK (page >= 1),
    span_start        integer NOT NULL CHECK (span_start >= 0),
    span_end          integer NOT NULL CHECK (span_end >= span_start),
    kind              text NOT NULL CHECK (kind IN ('page', 'heading', 'table')),
    extractor         text NOT NULL,
    extractor_version text NOT NULL,
    document_sha256   text NOT NULL,
    at                timestamptz NOT NULL,
    PRIMARY KEY (document, job, page, span_start, kind)
);
CREATE INDEX extraction_lineage_job ON extraction_lineage (job);
COMMENT ON COLUMN extraction_lineage.document_sha256 IS 'of the bytes that were read, not of the row''s claim';
