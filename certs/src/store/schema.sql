-- The store, version 1. Times are seconds since the epoch, lists are JSON.
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    sequence INTEGER NOT NULL,
    alarm_at INTEGER,
    alarm_seen INTEGER,
    alarm_why TEXT,
    guard_address TEXT
) STRICT;
INSERT INTO meta (one, sequence) VALUES (1, 0);
CREATE TABLE grants (
    identity TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    upstreams TEXT NOT NULL,
    sources TEXT NOT NULL,
    access_until TEXT,
    generation INTEGER NOT NULL,
    stated INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    address TEXT,
    revoked_at INTEGER,
    revoked_why TEXT
) STRICT;
CREATE TABLE certificates (
    serial TEXT PRIMARY KEY,
    identity TEXT NOT NULL,
    generation INTEGER NOT NULL,
    device TEXT NOT NULL,
    key_digest BLOB NOT NULL,
    fingerprint BLOB NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    issued_at INTEGER NOT NULL,
    pem TEXT NOT NULL,
    revoked_at INTEGER,
    revoked_why TEXT
) STRICT;
CREATE INDEX certificates_identity ON certificates (identity);
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    identity TEXT NOT NULL,
    serial TEXT NOT NULL,
    generation INTEGER NOT NULL,
    issued_at INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX tokens_expires ON tokens (expires);
CREATE TABLE invites (
    hash BLOB PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    identity TEXT NOT NULL,
    role TEXT NOT NULL,
    upstreams TEXT NOT NULL,
    sources TEXT NOT NULL,
    access_until TEXT,
    sequence INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    used_at INTEGER,
    used_key BLOB,
    serial TEXT,
    revoked_at INTEGER,
    revoked_why TEXT
) STRICT;
CREATE TABLE revocations (
    id TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    identity TEXT,
    key TEXT,
    why TEXT NOT NULL
) STRICT;
CREATE INDEX revocations_subject ON revocations (kind, subject);
CREATE INDEX revocations_key ON revocations (key) WHERE key IS NOT NULL;
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    identity TEXT,
    text TEXT NOT NULL
) STRICT;
