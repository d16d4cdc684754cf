//! Records in PostgreSQL, shared by replicas. The table is made when it is not there; nothing else is asked of the database.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use proofmark_types::UnixTime;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, Row};
use tokio::sync::OnceCell;

use super::{KeepingError, MAX_RECORD_BYTES};
use crate::hold::Bounds;

/// Connections of one replica: reads are single rows, and writes follow registries.
const MAX_CONNECTIONS: u32 = 4;

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Every so many writes the table is brought within its bounds.
const WRITES_BETWEEN_SWEEPS: u64 = 256;

const CREATE: &str = "CREATE TABLE IF NOT EXISTS proofmark_evidence (
    name text PRIMARY KEY,
    fetched bigint NOT NULL,
    record bytea NOT NULL
)";
const CREATE_INDEX: &str = "CREATE INDEX IF NOT EXISTS proofmark_evidence_fetched ON proofmark_evidence (fetched)";
const READ: &str = "SELECT record FROM proofmark_evidence WHERE name = $1 AND octet_length(record) <= $2";
/// The younger wins, whoever writes last.
const WRITE: &str = "INSERT INTO proofmark_evidence (name, fetched, record) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET fetched = excluded.fetched, record = excluded.record
    WHERE proofmark_evidence.fetched < excluded.fetched";
const FORGET: &str = "DELETE FROM proofmark_evidence WHERE fetched < $1";
/// The youngest within both bounds stay.
const SWEEP: &str = "DELETE FROM proofmark_evidence WHERE name IN (
    SELECT name FROM (
        SELECT name, row_number() OVER youngest AS position, sum(octet_length(record)) OVER youngest AS bytes
        FROM proofmark_evidence WINDOW youngest AS (ORDER BY fetched DESC, name)
    ) AS kept WHERE position > $1 OR bytes > $2)";

#[derive(Clone)]
pub(crate) struct Database {
    pool: PgPool,
    /// Whether the table is known to be there.
    ready: Arc<OnceCell<()>>,
    writes: Arc<std::sync::atomic::AtomicU64>,
    bounds: Bounds,
}

impl Database {
    /// Nothing is connected to before it is needed, and a database that is not there does not keep anything from starting.
    pub(super) fn new(address: &str, bounds: Bounds) -> Result<Self, KeepingError> {
        let options = PgConnectOptions::from_str(address).map_err(|error| KeepingError::Database {
            reason: error.to_string(),
        })?;
        let options = options.application_name("proofmark-admission");
        let pool = PgPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(CONNECT_PATIENCE)
            .connect_lazy_with(options);
        Ok(Self {
            pool,
            ready: Arc::default(),
            writes: Arc::default(),
            bounds,
        })
    }

    pub(super) async fn read(&self, name: &str) -> Result<Option<Vec<u8>>, &'static str> {
        self.prepare().await?;
        let limit = i32::try_from(MAX_RECORD_BYTES).unwrap_or(i32::MAX);
        let row = sqlx::query(READ).bind(name).bind(limit).fetch_optional(&self.pool);
        let row = row.await.map_err(|error| said("read", &error))?;
        row.map(|row| row.try_get::<Vec<u8>, _>(0))
            .transpose()
            .map_err(|error| said("read", &error))
    }

    /// Stores the record unless a younger one is there, and forgets what was fetched before `oldest`.
    pub(super) async fn write(
        &self,
        name: &str,
        record: &[u8],
        fetched: UnixTime,
        oldest: UnixTime,
    ) -> Result<(), &'static str> {
        self.prepare().await?;
        let write = sqlx::query(WRITE).bind(name).bind(fetched.seconds()).bind(record);
        write.execute(&self.pool).await.map_err(|error| said("write", &error))?;
        let number = self.writes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if number.is_multiple_of(WRITES_BETWEEN_SWEEPS) {
            self.sweep(oldest).await?;
        }
        Ok(())
    }

    async fn sweep(&self, oldest: UnixTime) -> Result<(), &'static str> {
        let forget = sqlx::query(FORGET).bind(oldest.seconds());
        forget
            .execute(&self.pool)
            .await
            .map_err(|error| said("sweep", &error))?;
        let number = |bound: usize| i64::try_from(bound).unwrap_or(i64::MAX);
        let sweep = sqlx::query(SWEEP)
            .bind(number(self.bounds.entries))
            .bind(number(self.bounds.bytes));
        sweep.execute(&self.pool).await.map_err(|error| said("sweep", &error))?;
        Ok(())
    }

    async fn prepare(&self) -> Result<(), &'static str> {
        let create = async || {
            // Two replicas may both find no table; the one that loses finds it the next time.
            for statement in [CREATE, CREATE_INDEX] {
                sqlx::query(statement).execute(&self.pool).await?;
            }
            Ok(())
        };
        let ready: Result<&(), sqlx::Error> = self.ready.get_or_try_init(create).await;
        ready.map(|_| ()).map_err(|error| said("prepare", &error))
    }
}

/// Says it in the log, once for each time: a database that is down is a miss, and the operator's matter.
fn said(verb: &'static str, error: &sqlx::Error) -> &'static str {
    tracing::warn!(%error, "the database of evidence cannot {verb}");
    verb
}
