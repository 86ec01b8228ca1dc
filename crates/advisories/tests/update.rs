//! Updates from a server that misbehaves: it breaks off, lies about lengths, says 429, dawdles, sends less than before.
#![allow(clippy::unwrap_used, reason = "what a test expects")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use proofmark_advisories::{
    Database, Key, Store as _, date,
    update::{self, Options, Outcome},
};
use proofmark_model::Digest;

/// A request as it came: path and headers in lower case.
#[derive(Debug, Clone)]
struct Asked {
    path: String,
    headers: BTreeMap<String, String>,
}

/// Bytes that go out as they are, and whether to wait after the first half.
type Answer = (Vec<u8>, Duration);

struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers each request by what the function says; the number counts the requests for that path.
    fn new(answer: impl Fn(&Asked, usize) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::<Asked>::new()));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let Some(Ok(first)) = lines.next() else { continue };
                let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
                let mut headers = BTreeMap::new();
                for line in lines.map_while(Result::ok).take_while(|l| !l.is_empty()) {
                    if let Some((name, value)) = line.split_once(':') {
                        headers.insert(name.to_lowercase(), value.trim().to_owned());
                    }
                }
                let request = Asked { path, headers };
                let n = seen.lock().unwrap().iter().filter(|a| a.path == request.path).count();
                seen.lock().unwrap().push(request.clone());
                let (bytes, pause) = answer(&request, n);
                let (head, tail) = bytes.split_at(bytes.len() / 2);
                // The client may go away; that is its right.
                let _ = stream.write_all(head);
                if !pause.is_zero() {
                    std::thread::sleep(pause);
                }
                let _ = stream.write_all(tail);
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn ok(body: &[u8]) -> Answer {
    (answer("200 OK", "ETag: \"v1\"\r\n", body), Duration::ZERO)
}

fn kev(n: usize, day: &str) -> Vec<u8> {
    let all: Vec<_> = (0..n)
        .map(|i| format!(r#"{{"cveID":"CVE-2020-{:04}","dateAdded":"2020-01-01"}}"#, i + 1))
        .collect();
    format!(r#"{{"catalogVersion":"x","dateReleased":"{day}T00:00:00Z","count":{n},"vulnerabilities":[{}]}}"#, all.join(",")).into_bytes()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn db(&self) -> PathBuf {
        self.0.path().join("a.db")
    }
    fn update(&self, feed: &str, server: &Server) -> Outcome {
        let mut options = Options {
            feeds: vec![feed.into()],
            bases: BTreeMap::from([(feed.to_owned(), server.address.clone())]),
            day: date::day("2002-06-01").unwrap(),
            ..Options::default()
        };
        options.http.first_wait = Duration::from_millis(5);
        options.http.longest_wait = Duration::from_millis(50);
        options.http.idle = Duration::from_millis(700);
        options.http.largest = 1 << 20;
        update::update(&self.db(), &options, &mut |_| {}, &mut |_| {}).unwrap()
    }
    fn known(&self, cve: &str) -> bool {
        Database::open(&self.db()).unwrap().threat(cve).unwrap().known_exploited
    }
}

#[test]
fn fetched_once_and_not_again() {
    let server = Server::new(|asked, _| match asked.headers.get("if-none-match") {
        Some(tag) if tag == "\"v1\"" => (answer("304 Not Modified", "", b""), Duration::ZERO),
        _ => ok(&kev(60, "2025-01-01")),
    });
    let p = Place::new();
    let first = p.update("kev", &server);
    assert_eq!((first.fetched, first.same, first.failed.len()), (1, 0, 0), "{first:?}");
    assert!(p.known("CVE-2020-0060"));
    let second = p.update("kev", &server);
    assert_eq!((second.fetched, second.same), (0, 1), "{second:?}");
    // Without the database the tag must not keep the data away.
    fs::remove_file(p.db()).unwrap();
    assert_eq!(p.update("kev", &server).fetched, 1);
    assert!(p.known("CVE-2020-0060"));
}

#[test]
fn what_broke_off_is_continued() {
    let body = kev(500, "2025-01-01");
    let whole = body.clone();
    let server = Server::new(move |asked, n| {
        let start = asked
            .headers
            .get("range")
            .and_then(|r| r.strip_prefix("bytes=")?.trim_end_matches('-').parse::<usize>().ok());
        match start {
            None => {
                let full = answer("200 OK", "ETag: \"v1\"\r\n", &body);
                (full[..full.len() - body.len() / 2].to_vec(), Duration::ZERO)
            }
            Some(from) => {
                assert_eq!(asked.headers.get("if-range").map(String::as_str), Some("\"v1\""));
                let rest = &body[from..];
                let range = format!(
                    "Content-Range: bytes {from}-{}/{}\r\nETag: \"v1\"\r\n",
                    body.len() - 1,
                    body.len()
                );
                let full = answer("206 Partial Content", &range, rest);
                // Once more too early.
                let cut = if n == 1 { rest.len() / 2 } else { 0 };
                (full[..full.len() - cut].to_vec(), Duration::ZERO)
            }
        }
    });
    let p = Place::new();
    let o = p.update("kev", &server);
    assert_eq!((o.fetched, o.failed.len()), (1, 0), "{o:?}");
    assert!(p.known("CVE-2020-0500"));
    let sent: Vec<_> = server.asked().iter().map(|a| a.headers.get("range").cloned()).collect();
    assert_eq!((sent.len(), &sent[0]), (3, &None), "{sent:?}");
    assert!(whole.len() > 1000);
}

#[test]
fn another_version_is_not_glued_to_the_first() {
    let (old, new) = (kev(500, "2025-01-01"), kev(510, "2025-01-02"));
    let server = Server::new(move |asked, _| {
        if asked.headers.contains_key("range") {
            // The server has a new version: the whole of it, as `If-Range` demands.
            return (answer("200 OK", "ETag: \"v2\"\r\n", &new), Duration::ZERO);
        }
        let full = answer("200 OK", "ETag: \"v1\"\r\n", &old);
        (full[..full.len() - 100].to_vec(), Duration::ZERO)
    });
    let p = Place::new();
    assert_eq!(p.update("kev", &server).failed.len(), 0);
    assert!(p.known("CVE-2020-0510"));
}

#[test]
fn patience_with_429_and_503() {
    let server = Server::new(|_, n| match n {
        0 => (answer("429 Too Many Requests", "Retry-After: 1\r\n", b"slow down"), Duration::ZERO),
        1 => (answer("503 Service Unavailable", "", b"<html>"), Duration::ZERO),
        _ => ok(&kev(60, "2025-01-01")),
    });
    let p = Place::new();
    let o = p.update("kev", &server);
    assert_eq!((o.fetched, server.asked().len()), (1, 3), "{o:?}");
}

#[test]
fn no_patience_without_end() {
    let server = Server::new(|_, _| (answer("503 Service Unavailable", "", b""), Duration::ZERO));
    let p = Place::new();
    let o = p.update("kev", &server);
    assert_eq!((o.fetched, o.failed.len(), server.asked().len()), (0, 1, 6), "{o:?}");
    assert!(o.failed[0].reason.contains("503"), "{o:?}");
    let server = Server::new(|_, _| (answer("404 Not Found", "", b""), Duration::ZERO));
    let o = p.update("kev", &server);
    assert_eq!(
        (o.failed.len(), server.asked().len()),
        (1, 1),
        "a 404 does not become better: {o:?}"
    );
    assert!(!p.db().exists());
}

#[test]
fn a_server_that_dawdles_is_left() {
    let server = Server::new(|_, n| {
        let pause = if n == 0 { Duration::from_secs(3) } else { Duration::ZERO };
        (answer("200 OK", "ETag: \"v1\"\r\n", &kev(60, "2025-01-01")), pause)
    });
    let p = Place::new();
    let o = p.update("kev", &server);
    assert_eq!((o.fetched, o.failed.len()), (1, 0), "{o:?}");
    assert!(server.asked().len() >= 2);
}

#[test]
fn garbage_and_too_much_do_no_harm() {
    let p = Place::new();
    let good = Server::new(|_, _| ok(&kev(100, "2025-01-01")));
    p.update("kev", &good);
    let before = fs::read(p.db()).unwrap();
    let bodies: [fn() -> Vec<u8>; 3] = [
        || b"<html>login</html>".to_vec(),
        || kev(100, "2025-02-01")[..2000].to_vec(),
        || kev(60, "2025-02-01"),
    ];
    for body in bodies {
        let bad = Server::new(move |_, _| {
            (answer("200 OK", "ETag: \"v2\"\r\n", &body()), Duration::ZERO)
        });
        let mut options = Options {
            feeds: vec!["kev".into()],
            bases: BTreeMap::from([("kev".to_owned(), bad.address.clone())]),
            ..Options::default()
        };
        options.http.first_wait = Duration::from_millis(5);
        let result = update::update(&p.db(), &options, &mut |_| {}, &mut |_| {});
        assert!(result.is_err(), "{result:?}");
        assert_eq!(fs::read(p.db()).unwrap(), before, "the old data stays");
    }
    let large = Server::new(|_, _| ok(&vec![b' '; 2 << 20]));
    let o = p.update("kev", &large);
    assert!(o.failed[0].reason.contains("larger than"), "{o:?}");
    // And afterwards all is well again.
    let good = Server::new(|_, _| {
        (answer("200 OK", "ETag: \"v3\"\r\n", &kev(101, "2025-02-01")), Duration::ZERO)
    });
    assert_eq!(p.update("kev", &good).fetched, 1);
    assert!(p.known("CVE-2020-0101"));
}

#[test]
fn nvd_has_the_digest_it_announces() {
    let text = r#"{"resultsPerPage":1,"format":"NVD_CVE","vulnerabilities":[{"cve":{"id":"CVE-2002-0001","lastModified":"2020-01-01T00:00:00.000"}}]}"#;
    let gz = {
        let mut e = GzEncoder::new(Vec::new(), Compression::fast());
        e.write_all(text.as_bytes()).unwrap();
        e.finish().unwrap()
    };
    let serve = move |digest: String| {
        let gz = gz.clone();
        Server::new(move |asked, _| {
            if asked.path.ends_with(".meta") {
                return ok(format!(
                    "lastModifiedDate:2020-01-01T00:00:00-05:00\r\nsize:1\r\nsha256:{digest}\r\n"
                )
                .as_bytes());
            }
            assert_eq!(asked.path, "/feeds/json/cve/2.0/nvdcve-2.0-2002.json.gz");
            ok(&gz)
        })
    };
    let p = Place::new();
    let o = p.update("nvd", &serve("00".repeat(32)));
    assert_eq!((o.fetched, o.failed.len()), (0, 1));
    assert!(o.failed[0].reason.contains("is announced"), "{o:?}");
    let good = serve(Digest::of(text.as_bytes()).to_string().to_uppercase());
    let o = p.update("nvd", &good);
    assert_eq!((o.fetched, o.failed.len()), (1, 0), "{o:?}");
    assert_eq!(Database::open(&p.db()).unwrap().about(&Key::id("CVE-2002-0001")).unwrap().len(), 1);
    let o = p.update("nvd", &good);
    assert_eq!((o.fetched, o.same), (0, 1));
    assert_eq!(
        good.asked().iter().filter(|a| a.path.ends_with(".gz")).count(),
        1,
        "the digest says it all"
    );
}

#[test]
fn nobody_fetches_without_https_unasked() {
    let p = Place::new();
    let options = Options { feeds: vec!["nonsense".into()], ..Options::default() };
    let e = update::update(&p.db(), &options, &mut |_| {}, &mut |_| {}).unwrap_err();
    assert!(e.to_string().contains("there are nvd, kev"), "{e}");
    assert!(update::PUBLISHERS.iter().all(|p| p.base.starts_with("https://")));
}
