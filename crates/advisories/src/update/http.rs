//! One file over HTTP: resumed where it broke off, checked for its length, tried again with patience.
//!
//! Only answers 200, 206, 304, 416, 429 and 5xx have a meaning; everything else ends the attempt for good. A file that
//! breaks off is continued with `Range` and `If-Range`, so that two versions of it are never glued together. Waiting
//! follows `Retry-After`, else doubles from one second.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::Path,
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// How to fetch.
#[derive(Debug, Clone)]
pub struct Options {
    /// Attempts for one file.
    pub attempts: u32,
    /// Longest wait between two of them, whatever the server asks for.
    pub longest_wait: Duration,
    /// First wait, where the server does not ask for one; it doubles.
    pub first_wait: Duration,
    /// Time to connect.
    pub connect: Duration,
    /// Time without a byte.
    pub idle: Duration,
    /// Time for one attempt as a whole.
    pub whole: Duration,
    /// Bytes of one file.
    pub largest: u64,
    /// Only HTTPS, also after a redirect. Off only where the user names an address without it.
    pub https_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            attempts: 6,
            longest_wait: Duration::from_secs(120),
            first_wait: Duration::from_secs(1),
            connect: Duration::from_secs(20),
            idle: Duration::from_secs(60),
            whole: Duration::from_secs(3600),
            largest: 4 << 30,
            https_only: true,
        }
    }
}

/// What a server says about the version of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Version {
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub modified: Option<String>,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The file is complete and of this version.
    New(Version),
    /// The server says it has nothing newer.
    Same,
}

/// Fetches into `target`, going on with what is there of it. `had` is the version that was imported last.
///
/// # Errors
/// One sentence, after the last attempt or where another one is useless.
pub fn fetch(
    url: &str,
    target: &Path,
    had: Option<&Version>,
    options: &Options,
) -> Result<Fetched, String> {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .https_only(options.https_only)
        .max_redirects(5)
        .timeout_connect(Some(options.connect))
        .timeout_recv_response(Some(options.idle))
        .timeout_per_read(Some(options.idle))
        .timeout_recv_body(Some(options.whole))
        .user_agent(concat!("proofmark/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent();
    let mut wait = options.first_wait;
    let mut last = String::new();
    for attempt in 0..options.attempts {
        match once(&agent, url, target, had, options) {
            Ok(fetched) => return Ok(fetched),
            Err(Miss::Final(reason)) => return Err(format!("{url}: {reason}")),
            Err(Miss::Again(reason, asked)) => {
                last = reason;
                if attempt.saturating_add(1) < options.attempts {
                    std::thread::sleep(asked.unwrap_or(wait).min(options.longest_wait));
                    wait = wait.saturating_mul(2);
                }
            }
        }
    }
    Err(format!("{url}: {last}; tried {} times", options.attempts))
}

/// An attempt that failed.
enum Miss {
    Final(String),
    Again(String, Option<Duration>),
}

impl From<io::Error> for Miss {
    fn from(e: io::Error) -> Self {
        Self::Final(e.to_string())
    }
}

/// The version that a broken file is of, beside it.
fn beside(target: &Path) -> std::path::PathBuf {
    crate::beside(target, ".version")
}

fn forget(target: &Path) {
    // They may not be there; what matters is that they are not there after.
    let _ = fs::remove_file(target);
    let _ = fs::remove_file(beside(target));
}

fn once(
    agent: &ureq::Agent,
    url: &str,
    target: &Path,
    had: Option<&Version>,
    options: &Options,
) -> Result<Fetched, Miss> {
    let part: Option<Version> =
        fs::read(beside(target)).ok().and_then(|t| serde_json::from_slice(&t).ok());
    let there = fs::metadata(target).map_or(0, |m| m.len());
    let mut request = agent.get(url).header("Accept-Encoding", "identity");
    // Weak tags cannot tell whether bytes fit together.
    let strong = part
        .as_ref()
        .and_then(|v| v.etag.clone().filter(|e| !e.starts_with("W/")).or(v.modified.clone()));
    let resumed = match strong {
        Some(version) if there > 0 => {
            request =
                request.header("Range", format!("bytes={there}-")).header("If-Range", version);
            true
        }
        _ => {
            if let Some(had) = had {
                if let Some(etag) = &had.etag {
                    request = request.header("If-None-Match", etag);
                }
                if let Some(modified) = &had.modified {
                    request = request.header("If-Modified-Since", modified);
                }
            }
            false
        }
    };
    let response = request.call().map_err(|e| miss(&e))?;
    let header =
        |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let version = Version { etag: header("etag"), modified: header("last-modified") };
    let status = response.status().as_u16();
    let start = match status {
        200 => 0,
        206 if resumed && continues(header("content-range").as_deref(), there) => there,
        206 => {
            forget(target);
            return Err(Miss::Again(
                "the server sent another part than was asked for".into(),
                Some(Duration::ZERO),
            ));
        }
        304 => return Ok(Fetched::Same),
        416 => {
            forget(target);
            return Err(Miss::Again("the server has no such part".into(), Some(Duration::ZERO)));
        }
        429 | 500..=599 => {
            let asked =
                header("retry-after").and_then(|t| t.trim().parse().ok()).map(Duration::from_secs);
            return Err(Miss::Again(format!("the server answered {status}"), asked));
        }
        other => return Err(Miss::Final(format!("the server answered {other}"))),
    };
    let announced = header("content-length").and_then(|n| n.parse::<u64>().ok());
    let too_large = || format!("larger than {} bytes", options.largest);
    if announced.is_some_and(|n| start.saturating_add(n) > options.largest) {
        return Err(Miss::Final(too_large()));
    }
    if start == 0 {
        forget(target);
        let text = serde_json::to_vec(&version).map_err(|e| Miss::Final(e.to_string()))?;
        fs::write(beside(target), text)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(target)?;
    let room = options.largest.saturating_sub(start);
    let body = response.into_body().into_reader();
    let copied = copy(body, &mut file, room);
    file.sync_all()?;
    match copied {
        Ok(n) if n > room => {
            forget(target);
            Err(Miss::Final(too_large()))
        }
        Ok(n) if announced.is_some_and(|a| a != n) => {
            let announced = announced.unwrap_or_default();
            Err(Miss::Again(format!("the answer broke off: {n} of {announced} bytes"), None))
        }
        Ok(_) => {
            let _ = fs::remove_file(beside(target));
            Ok(Fetched::New(version))
        }
        Err(e) => Err(Miss::Again(format!("the answer broke off: {e}"), None)),
    }
}

/// Copies up to one byte more than allowed, so that too much is noticed.
fn copy(source: impl io::Read, file: &mut File, room: u64) -> io::Result<u64> {
    let mut source = source.take(room.saturating_add(1));
    let mut buffer = vec![0; 1 << 16];
    let mut all = 0_u64;
    loop {
        let n = source.read(&mut buffer)?;
        if n == 0 {
            return Ok(all);
        }
        file.write_all(buffer.get(..n).unwrap_or_default())?;
        all = all.saturating_add(n as u64);
    }
}

/// `bytes 100-199/200` goes on where the file ends.
fn continues(range: Option<&str>, there: u64) -> bool {
    let start = range.and_then(|r| {
        r.trim().strip_prefix("bytes ")?.split('-').next()?.trim().parse::<u64>().ok()
    });
    start == Some(there)
}

fn miss(e: &ureq::Error) -> Miss {
    match e {
        ureq::Error::BadUri(_)
        | ureq::Error::RequireHttpsOnly(_)
        | ureq::Error::InvalidProxyUrl => Miss::Final(e.to_string()),
        // A name that is not found, a refused connection, a time-out: may be better in a moment.
        _ => Miss::Again(e.to_string(), None),
    }
}
