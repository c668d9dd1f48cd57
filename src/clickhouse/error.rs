//! What can go wrong with the tables, and which of it passes by itself.

use std::time::Duration;

use clickhouse::error::Error;

/// A failed read or write. Writes may be repeated whatever the error was.
#[derive(Debug, thiserror::Error)]
pub enum WarehouseError {
    /// No answer, or a broken one, on the way there or back.
    #[error("ClickHouse cannot be reached: {0}")]
    Unreachable(String),
    /// No answer in time; whether the server did it is unknown.
    #[error("ClickHouse did not answer within {limit_ms} ms ({what})")]
    TimedOut {
        /// What was asked for.
        what: &'static str,
        /// The configured deadline.
        limit_ms: u128,
    },
    /// The server's own error.
    #[error("ClickHouse refused: {text}")]
    Refused {
        /// Its number in ClickHouse's list of errors; none when something in between answered.
        code: Option<u32>,
        /// Its words.
        text: String,
    },
    /// Rows and tables do not fit, or the answer cannot be read.
    #[error("ClickHouse and this program do not understand each other: {0}")]
    Driver(#[source] Error),
    /// A stored value that the domain does not know.
    #[error("the tables hold {0}, which this program does not understand")]
    Stored(String),
    /// A database or cluster name outside letters, digits, `_` and `-`, or past 64 of them.
    #[error("{setting} {name:?} may have 1 to 64 letters, digits, _ and - only")]
    Name {
        /// Which setting.
        setting: &'static str,
        /// Its value.
        name: String,
    },
    /// The tables are absent or older than this program.
    #[error("database {database:?} is at migration {found} of {wanted}: run `tollgate migrate`")]
    Unmigrated {
        /// Which database.
        database: String,
        /// Newest applied; 0 when there is none.
        found: u32,
        /// Newest of this program.
        wanted: u32,
    },
    /// The tables are newer than this program.
    #[error(
        "database {database:?} is at migration {found}, this program knows {wanted}: use a newer tollgate"
    )]
    Newer {
        /// Which database.
        database: String,
        /// Newest applied.
        found: u32,
        /// Newest of this program.
        wanted: u32,
    },
    /// A migration is not the one that was applied.
    #[error("migration {version} ({name}) was edited after it was applied: put it back, and add a new one")]
    Edited {
        /// Its number.
        version: u32,
        /// Its name in this program.
        name: &'static str,
    },
}

/// Errors of the server that pass by themselves or with help from outside: full, busy, starting, cut off.
const TRANSIENT_CODES: [u32; 30] = [
    3,    // unexpected end of file: the connection broke under an insert
    74,   // cannot read from a file
    75,   // cannot write to a file: a full disk shows up here too
    76,   // cannot open a file
    159,  // timeout exceeded
    173,  // cannot allocate memory
    198,  // DNS error
    202,  // too many simultaneous queries
    203,  // no free connection
    209,  // socket timeout
    210,  // network error
    225,  // no keeper
    236,  // aborted
    241,  // memory limit exceeded
    242,  // table is read only
    243,  // not enough space
    252,  // too many parts
    279,  // all connection tries failed
    285,  // too few live replicas
    286,  // unsatisfied quorum for an earlier write
    319,  // unknown status of insert
    394,  // query was cancelled
    425,  // system error
    439,  // cannot schedule a task
    473,  // deadlock avoided
    499,  // object storage error
    735,  // query was cancelled because this side hung up
    745,  // server overloaded
    999,  // keeper error
    1000, // network error of the server's HTTP library
];

impl WarehouseError {
    /// True when the same call may succeed later without anybody changing this program or its settings.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut { .. } | Self::Refused { code: None, .. } => true,
            Self::Refused { code: Some(code), .. } => TRANSIENT_CODES.contains(code),
            _ => false,
        }
    }

    /// The server's number for the error, when it was the server's.
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Refused { code, .. } => *code,
            _ => None,
        }
    }
}

impl From<Error> for WarehouseError {
    fn from(error: Error) -> Self {
        match error {
            Error::Network(fault) => Self::Unreachable(chain(&*fault)),
            // The driver's own deadlines are not used; should one strike, it is a network's fault.
            Error::TimedOut => Self::Unreachable("timeout".to_owned()),
            Error::BadResponse(text) => Self::Refused { code: code_of(&text), text },
            other => Self::Driver(other),
        }
    }
}

/// An error with its causes: the driver's outermost words alone are "client error (Connect)".
fn chain(fault: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(fault.source(), |cause| cause.source());
    causes.fold(fault.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// `252` of `Code: 252. DB::Exception: Too many parts ...`.
fn code_of(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Code: ")?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    rest[..digits].parse().ok()
}

/// The work's answer, or [`WarehouseError::TimedOut`]: the driver has no deadline for connecting and reading.
pub(super) async fn within<T>(
    limit: Duration,
    what: &'static str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, WarehouseError> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(WarehouseError::from),
        Err(_) => Err(WarehouseError::TimedOut { what, limit_ms: limit.as_millis() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> WarehouseError {
        Error::BadResponse(text.to_owned()).into()
    }

    #[test]
    fn errors_of_the_server_are_told_apart_by_their_code() {
        let busy = refused("Code: 252. DB::Exception: Too many parts (3000). (TOO_MANY_PARTS)");
        assert_eq!(busy.code(), Some(252));
        assert!(busy.is_transient());
        for fatal in
            ["Code: 60. DB::Exception: Unknown table", "Code: 516", "Code: 62. DB::Exception: Syntax"]
        {
            assert!(!refused(fatal).is_transient(), "{fatal}");
        }
    }

    #[test]
    fn an_answer_of_something_in_between_is_transient() {
        assert!(refused("503 Service Unavailable").is_transient());
        assert!(refused("<html>bad gateway</html>").is_transient());
    }

    #[test]
    fn rows_that_do_not_fit_stay_unfit() {
        assert!(!WarehouseError::from(Error::SchemaMismatch("x".into())).is_transient());
    }
}
