-- expand: the ledger's first shape on Postgres. What it means is told in the SQLite file of the same number; here is
-- only
-- what must differ. Columns that are compared by their order, or that are looked for at every turn, sort as their bytes
-- do (COLLATE "C"):
-- statements go through ids from one to another.

CREATE TABLE jobs (
    id                  TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 5 AND 64),
    provider            TEXT COLLATE "C" NOT NULL CHECK (length(provider) BETWEEN 1 AND 32),
    model               TEXT             NOT NULL CHECK (length(model) BETWEEN 1 AND 200),
    state               TEXT COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'accepted', 'submitting',
        'unconfirmed', 'submitted',
                                                                   'completed', 'failed', 'canceled', 'expired')),
    idempotency_key     TEXT COLLATE "C" CHECK (length(idempotency_key) BETWEEN 1 AND 255),
    request_digest      TEXT             NOT NULL,
    provider_request_id TEXT COLLATE "C" CHECK (length(provider_request_id) BETWEEN 1 AND 200),
    status_url          TEXT,
    response_url        TEXT,
    cancel_url          TEXT,
    submissions         BIGINT           NOT NULL DEFAULT 0 CHECK (submissions >= 0),
    claimed_until       BIGINT,
    unconfirmed_at      BIGINT,
    created_at          BIGINT           NOT NULL,
    submitted_at        BIGINT,
    finalized_at        BIGINT,
    source              TEXT             CHECK (source IN ('callback', 'poll')),
    fingerprint         TEXT,
    processing_time_ms  BIGINT,
    warning             TEXT,
    error_fault         TEXT             CHECK (error_fault IN ('input', 'account', 'provider', 'network', 'us')),
    error_code          TEXT,
    error_message       TEXT,
    error_retryable     BIGINT           CHECK (error_retryable IN (0, 1)),
    last_sequence       BIGINT           NOT NULL DEFAULT 0,
    last_transition            TEXT COLLATE "C" NOT NULL,
    CHECK ((state = 'completed' OR state = 'failed' OR state = 'canceled'
        OR state = 'expired') = (finalized_at IS NOT NULL)),
    CHECK ((finalized_at IS NOT NULL) = (fingerprint IS NOT NULL)),
    CHECK ((state = 'submitting') = (claimed_until IS NOT NULL)),
    CHECK (state <> 'unconfirmed' OR unconfirmed_at IS NOT NULL),
    CHECK (state <> 'submitted' OR (provider_request_id IS NOT NULL AND submitted_at IS NOT NULL)),
    CHECK (state NOT IN ('failed', 'expired') OR error_fault IS NOT NULL),
    CHECK (state <> 'completed' OR error_fault IS NULL),
    CHECK ((error_fault IS NULL) = (error_code IS NULL)),
    CHECK ((error_fault IS NULL) = (error_message IS NULL)),
    CHECK ((error_fault IS NULL) = (error_retryable IS NULL)),
    CHECK (source IS NULL OR finalized_at IS NOT NULL)
);

-- rule: one job per Idempotency-Key
CREATE UNIQUE INDEX jobs_idempotency_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;
-- rule: a provider's request belongs to one job
CREATE UNIQUE INDEX jobs_provider_request ON jobs (provider, provider_request_id) WHERE provider_request_id IS NOT NULL;
-- query: list_jobs_by_provider
CREATE INDEX jobs_by_provider ON jobs (provider, id);
-- query: list_jobs_by_state and list_jobs_by_provider_and_state. One for both: every move of a job is paid for here.
CREATE INDEX jobs_by_state ON jobs (state, provider, id);

CREATE TABLE inputs (
    job_id   TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES jobs (id),
    input    TEXT             NOT NULL,
    metadata TEXT             NOT NULL
);

CREATE TABLE outputs (
    job_id       TEXT COLLATE "C" NOT NULL REFERENCES jobs (id),
    position     BIGINT           NOT NULL CHECK (position >= 1),
    url          TEXT             NOT NULL,
    content_type TEXT,
    file_name    TEXT,
    file_size    BIGINT           CHECK (file_size >= 0),
    width        BIGINT           CHECK (width >= 0),
    height       BIGINT           CHECK (height >= 0),
    PRIMARY KEY (job_id, position)
);

CREATE VIEW job_rows AS
SELECT j.id, j.provider, j.model, j.state, j.provider_request_id, j.status_url, j.response_url, j.cancel_url,
    j.submissions,
       j.claimed_until, j.unconfirmed_at, j.created_at, j.submitted_at, j.finalized_at, j.source, j.processing_time_ms,
       j.warning, j.error_fault, j.error_code, j.error_message, j.error_retryable, j.last_transition,
       CASE WHEN o.position > 1 THEN NULL ELSE i.input END AS input,
       CASE WHEN o.position > 1 THEN NULL ELSE i.metadata END AS metadata,
       o.position, o.url, o.content_type, o.file_name, o.file_size, o.width, o.height
FROM jobs AS j JOIN inputs AS i ON i.job_id = j.id LEFT JOIN outputs AS o ON o.job_id = j.id;

CREATE TABLE receipts (
    id          TEXT COLLATE "C" NOT NULL,
    job_id      TEXT COLLATE "C" NOT NULL,
    provider    TEXT COLLATE "C" NOT NULL CHECK (length(provider) BETWEEN 1 AND 32),
    source      TEXT             NOT NULL CHECK (source IN ('callback', 'poll')),
    request_id  TEXT,
    result      TEXT COLLATE "C" NOT NULL CHECK (result IN ('recorded', 'duplicate', 'conflict', 'orphan', 'pending')),
    headers     TEXT             NOT NULL,
    body        BYTEA            NOT NULL,
    received_at BIGINT           NOT NULL
);

-- rule: a report is kept once; query: list_receipts of a job
CREATE UNIQUE INDEX receipts_by_job ON receipts (job_id, id);
-- query: count_receipts_needing_attention
CREATE INDEX receipts_needing_attention ON receipts (result, received_at) WHERE result IN ('conflict', 'orphan');

CREATE TABLE events (
    job_id   TEXT COLLATE "C" NOT NULL REFERENCES jobs (id),
    sequence BIGINT           NOT NULL CHECK (sequence >= 1),
    type     TEXT COLLATE "C" NOT NULL CHECK (type IN ('job.accepted', 'job.submitted', 'job.unconfirmed',
        'job.completed',
                                                       'job.failed', 'job.canceled', 'job.expired')),
    at       BIGINT           NOT NULL,
    PRIMARY KEY (job_id, sequence)
);

CREATE TABLE endpoints (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    url             TEXT             NOT NULL CHECK (length(url) BETWEEN 1 AND 2048),
    scope           TEXT COLLATE "C" NOT NULL CHECK (scope IN ('all', 'job')),
    created_at      BIGINT           NOT NULL,
    disabled_at     BIGINT,
    disabled_reason TEXT,
    removed_at      BIGINT,
    CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
);

-- query: fan_out, the endpoints that hear of every job
CREATE INDEX endpoints_for_all ON endpoints (id) WHERE scope = 'all' AND removed_at IS NULL;

CREATE TABLE subscriptions (
    job_id      TEXT COLLATE "C" NOT NULL REFERENCES jobs (id),
    endpoint_id TEXT COLLATE "C" NOT NULL REFERENCES endpoints (id),
    PRIMARY KEY (job_id, endpoint_id)
);

CREATE TABLE deliveries (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    job_id       TEXT COLLATE "C" NOT NULL,
    sequence     BIGINT           NOT NULL,
    endpoint_id  TEXT COLLATE "C" NOT NULL REFERENCES endpoints (id),
    state        TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'delivered', 'dead', 'discarded')),
    attempts     BIGINT           NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    failures     BIGINT           NOT NULL DEFAULT 0 CHECK (failures >= 0),
    created_at   BIGINT           NOT NULL,
    due_at       BIGINT,
    finalized_at BIGINT,
    reason       TEXT,
    FOREIGN KEY (job_id, sequence) REFERENCES events (job_id, sequence),
    CHECK ((state = 'pending') = (finalized_at IS NULL)),
    CHECK ((state = 'pending') = (due_at IS NOT NULL)),
    CHECK (state NOT IN ('dead', 'discarded') OR reason IS NOT NULL),
    CHECK (id = 'msg_' || substr(job_id, 5) || '_' || sequence::text || '_' || substr(endpoint_id, 4))
);

-- query: read_due_deliveries of an endpoint, and release_endpoint. That one relies on the lock of the foreign key, too.
CREATE INDEX deliveries_due ON deliveries (endpoint_id, due_at) WHERE state = 'pending';
-- query: list_dead_deliveries, count_deliveries_needing_attention
CREATE INDEX deliveries_dead ON deliveries (id) WHERE state = 'dead';
-- query: list_discarded_deliveries, count_deliveries_needing_attention
CREATE INDEX deliveries_discarded ON deliveries (id) WHERE state = 'discarded';

CREATE TABLE attempts (
    delivery_id TEXT COLLATE "C" NOT NULL REFERENCES deliveries (id),
    number      BIGINT           NOT NULL CHECK (number >= 1),
    at          BIGINT           NOT NULL,
    status      BIGINT,
    latency_ms  BIGINT           NOT NULL,
    error       TEXT,
    response    BYTEA            CHECK (length(response) <= 2048),
    PRIMARY KEY (delivery_id, number)
);

CREATE TABLE work_kinds (
    name     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    priority BIGINT           NOT NULL
);
INSERT INTO work_kinds (name, priority) VALUES ('submit', 1), ('poll', 2), ('deliver', 3);

CREATE TABLE work (
    kind    TEXT COLLATE "C" NOT NULL REFERENCES work_kinds (name),
    subject TEXT COLLATE "C" NOT NULL,
    due_at  BIGINT           NOT NULL,
    lease   TEXT COLLATE "C",
    tries   BIGINT           NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, subject)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000); -- however many rows are due later

-- query: fetch_work, and next_due
CREATE INDEX work_due ON work (kind, due_at);
