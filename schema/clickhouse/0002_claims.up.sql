-- What dashboards ask: claims, pharmacy, clinical measures, utilization, and what they cost by month. Every key
-- begins with the tenant. Money is exact, in US dollars.

CREATE TABLE IF NOT EXISTS claims
(
    tenant       LowCardinality(String),
    claim        UInt64,
    member       UInt32,
    provider     UInt32 CODEC(T64, ZSTD(1)),
    plan         LowCardinality(String),
    service_date Date CODEC(DoubleDelta, ZSTD(1)),
    paid_date    Date CODEC(T64, ZSTD(1)),
    -- professional | outpatient | inpatient | emergency
    type         LowCardinality(String),
    -- ICD-10-CM, and CPT or HCPCS.
    diagnosis    LowCardinality(String),
    procedure    LowCardinality(String),
    -- paid | denied | pending
    status       LowCardinality(String),
    billed       Decimal(12, 2) CODEC(T64, ZSTD(1)),
    allowed      Decimal(12, 2) CODEC(T64, ZSTD(1)),
    paid         Decimal(12, 2) CODEC(T64, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(service_date)
ORDER BY (tenant, service_date, member, claim);

CREATE TABLE IF NOT EXISTS pharmacy
(
    tenant      LowCardinality(String),
    fill        UInt64,
    member      UInt32,
    plan        LowCardinality(String),
    filled_on   Date CODEC(DoubleDelta, ZSTD(1)),
    drug        LowCardinality(String),
    drug_class  LowCardinality(String),
    generic     Bool,
    days_supply UInt16,
    quantity    UInt16,
    billed      Decimal(12, 2) CODEC(T64, ZSTD(1)),
    paid        Decimal(12, 2) CODEC(T64, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(filled_on)
ORDER BY (tenant, filled_on, member, fill);

-- Measured values, in the unit that the measure has.
CREATE TABLE IF NOT EXISTS clinical
(
    tenant      LowCardinality(String),
    observation UInt64,
    member      UInt32,
    observed_on Date CODEC(DoubleDelta, ZSTD(1)),
    -- a1c (%) | ldl (mg/dL) | systolic (mmHg) | bmi (kg/m2)
    measure     LowCardinality(String),
    value       Float32 CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(observed_on)
ORDER BY (tenant, measure, member, observed_on, observation);

CREATE TABLE IF NOT EXISTS utilization_events
(
    tenant   LowCardinality(String),
    event    UInt64,
    member   UInt32,
    plan     LowCardinality(String),
    at       Date CODEC(DoubleDelta, ZSTD(1)),
    -- admission | readmission | emergency | office_visit | telehealth
    kind     LowCardinality(String),
    facility UInt32 CODEC(T64, ZSTD(1)),
    -- Nights; 0 where nobody stayed.
    nights   UInt16
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, at, member, event);

-- How many members a plan had in a month: what costs are divided by. The last word of a month counts.
CREATE TABLE IF NOT EXISTS enrollment
(
    tenant  LowCardinality(String),
    month   Date,
    plan    LowCardinality(String),
    members UInt32,
    as_of   DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(as_of)
ORDER BY (tenant, month, plan);

-- What was paid by month, plan and kind of care: sums, kept as claims and fills come in.
CREATE TABLE IF NOT EXISTS cost_analysis
(
    tenant   LowCardinality(String),
    month    Date,
    plan     LowCardinality(String),
    -- A claim's type, or pharmacy.
    category LowCardinality(String),
    items    UInt64,
    billed   Decimal(18, 2),
    paid     Decimal(18, 2)
)
ENGINE = SummingMergeTree
ORDER BY (tenant, month, plan, category);

CREATE MATERIALIZED VIEW IF NOT EXISTS cost_analysis_of_claims TO cost_analysis AS
SELECT tenant, toStartOfMonth(service_date) AS month, plan, type AS category,
       count() AS items, sum(billed) AS billed, sum(paid) AS paid
FROM claims
GROUP BY tenant, month, plan, category;

CREATE MATERIALIZED VIEW IF NOT EXISTS cost_analysis_of_pharmacy TO cost_analysis AS
SELECT tenant, toStartOfMonth(filled_on) AS month, plan, 'pharmacy' AS category,
       count() AS items, sum(billed) AS billed, sum(paid) AS paid
FROM pharmacy
GROUP BY tenant, month, plan, category;

-- Job events by day: what a year of jobs looks like, without reading each event of it.
CREATE VIEW IF NOT EXISTS jobs_per_day AS
SELECT
    toDate(at) AS day, tenant, queue,
    countIf(type = 'job.submitted') AS submitted,
    countIf(type = 'job.completed') AS completed,
    countIf(type = 'job.failed') AS failed,
    countIf(type = 'job.cancelled') AS cancelled,
    countIf(type = 'job.retry_scheduled') AS retried,
    countIf(type = 'job.lease_lost') AS lost
FROM job_events FINAL
GROUP BY day, tenant, queue;
