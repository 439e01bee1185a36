//! Downloads from a small server on this machine that behaves badly on demand.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::*;
use crate::source::testing::file;

/// What the server does with a request for a path that begins so.
#[derive(Clone, Copy)]
enum Manner {
    /// Answers as it should, ranges included.
    Good,
    /// Sends everything, whatever range is asked for.
    NoRanges,
    /// Promises everything and sends so many bytes, then hangs up.
    Cut(usize),
    /// Sends other bytes.
    Wrong,
    /// Sends bytes without end and without a length.
    Endless,
    /// Has it not.
    NotFound,
}

struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

/// Serves `content` at `/good/…`, `/cut/…` and so on until the test ends.
fn serve(content: &'static [u8]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that hangs up is part of the tests.
            let _ = answer(stream, content, &log);
        }
    });
    Server { address, requests }
}

/// The path that is asked for, and the byte from which on.
fn read_request(stream: &TcpStream) -> std::io::Result<(String, Option<usize>)> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let path = request.split(' ').nth(1).unwrap_or_default().to_string();
    let mut range = None;
    for line in lines {
        let line = line?.to_lowercase();
        if let Some(asked) = line.strip_prefix("range: bytes=") {
            range = asked.trim_end_matches('-').parse::<usize>().ok();
        }
        if line.is_empty() {
            break;
        }
    }
    Ok((path, range))
}

/// Answers the one request of a connection. Every answer says that the connection ends with it: a
/// client that kept it for its next request would find it reset, or not, as the threads happen to
/// run.
fn answer(mut stream: TcpStream, content: &[u8], log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let (path, range) = read_request(&stream)?;
    log.lock().unwrap().push(format!("{path} {range:?}"));
    let manner = match path.split('/').nth(1) {
        Some("good") => Manner::Good,
        Some("noranges") => Manner::NoRanges,
        Some("cut") => Manner::Cut(700),
        Some("wrong") => Manner::Wrong,
        Some("endless") => Manner::Endless,
        _ => Manner::NotFound,
    };
    let wrong = vec![b'x'; content.len()];
    let content = if matches!(manner, Manner::Wrong) { &wrong[..] } else { content };
    let start = range.filter(|_| !matches!(manner, Manner::NoRanges)).unwrap_or(0);
    match manner {
        Manner::NotFound => {
            return write!(
                stream,
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
        Manner::Endless => {
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            for _ in 0..1000 {
                stream.write_all(&wrong)?;
            }
            return Ok(());
        }
        _ if start > content.len() => {
            return write!(
                stream,
                "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nConnection: \
                close\r\n\r\n"
            );
        }
        _ if start > 0 => {
            let (last, all) = (content.len() - 1, content.len());
            write!(
                stream,
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{last}/{all}\r\n"
            )?;
        }
        _ => write!(stream, "HTTP/1.1 200 OK\r\n")?,
    }
    let rest = &content[start..];
    write!(stream, "Content-Length: {}\r\nConnection: close\r\n\r\n", rest.len())?;
    match manner {
        Manner::Cut(most) => stream.write_all(&rest[..most.min(rest.len())]),
        _ => stream.write_all(rest),
    }
}

static CONTENT: [u8; 2000] = {
    let mut content = [0; 2000];
    let mut i = 0;
    while i < content.len() {
        content[i] = (i * 7 % 251) as u8;
        i += 1;
    }
    content
};

/// A plain agent: a proxy of this machine has no business with its own loopback.
fn plain_agent() -> Agent {
    let config = Agent::config_builder().http_status_as_error(false).proxy(None);
    config.timeout_global(Some(Duration::from_secs(20))).build().into()
}

fn content_sum() -> &'static str {
    let (_folder, path) = file("content", &CONTENT);
    Checksum::Sha256("").of_file(&path, false).unwrap().leak()
}

struct Trial {
    folder: tempfile::TempDir,
    server: Server,
}

impl Trial {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), server: serve(&CONTENT) }
    }

    /// Fetches `f` from these mirrors in turn.
    fn run(&self, mirrors: &[&str], bytes: Option<u64>) -> Result<Vec<u64>> {
        let agent = plain_agent();
        let checksum = Some(Checksum::Sha256(content_sum()));
        let destination = self.folder.path().join("f");
        let job = Job { agent: &agent, file: "f", destination, bytes, checksum };
        let urls: Vec<String> =
            mirrors.iter().map(|m| format!("{}/{m}/f", self.server.address)).collect();
        let mut seen = Vec::new();
        job.run(&urls, &mut |progress| seen.push(progress.bytes_done))?;
        Ok(seen)
    }

    fn leave_part(&self, content: &[u8]) {
        std::fs::write(self.folder.path().join("f.part"), content).unwrap();
    }

    fn requests(&self) -> Vec<String> {
        self.server.requests.lock().unwrap().clone()
    }

    fn assert_whole(&self) {
        assert_eq!(std::fs::read(self.folder.path().join("f")).unwrap(), CONTENT);
        assert!(!self.folder.path().join("f.part").exists());
    }
}

#[test]
fn a_good_mirror_gives_the_file_and_shows_progress() {
    let trial = Trial::new();
    let seen = trial.run(&["good"], Some(2000)).unwrap();
    assert_eq!((seen[0], *seen.last().unwrap()), (0, 2000));
    trial.assert_whole();
    assert_eq!(trial.requests(), ["/good/f None"]);
}

#[test]
fn a_part_is_resumed() {
    let trial = Trial::new();
    trial.leave_part(&CONTENT[..1500]);
    let seen = trial.run(&["good"], Some(2000)).unwrap();
    assert_eq!(seen[0], 1500);
    trial.assert_whole();
    assert_eq!(trial.requests(), ["/good/f Some(1500)"]);
}

#[test]
fn a_server_without_ranges_starts_over() {
    let trial = Trial::new();
    trial.leave_part(&CONTENT[..1500]);
    trial.run(&["noranges"], None).unwrap();
    trial.assert_whole();
}

#[test]
fn a_cut_body_is_continued_until_it_is_whole() {
    let trial = Trial::new();
    trial.run(&["cut"], Some(2000)).unwrap();
    trial.assert_whole();
    assert_eq!(trial.requests(), ["/cut/f None", "/cut/f Some(700)", "/cut/f Some(1400)"]);
}

#[test]
fn a_missing_file_and_a_wrong_one_lead_to_the_next_mirror() {
    let trial = Trial::new();
    trial.run(&["nothing", "wrong", "good"], Some(2000)).unwrap();
    trial.assert_whole();
    assert_eq!(trial.requests(), ["/nothing/f None", "/wrong/f None", "/good/f None"]);
}

#[test]
fn a_damaged_part_is_thrown_away_and_fetched_anew() {
    let trial = Trial::new();
    trial.leave_part(&[9; 1500]);
    trial.run(&["good"], Some(2000)).unwrap();
    trial.assert_whole();
    assert_eq!(trial.requests(), ["/good/f Some(1500)", "/good/f None"]);
}

#[test]
fn a_part_that_is_too_long_is_thrown_away() {
    let trial = Trial::new();
    trial.leave_part(&[9; 2500]);
    trial.run(&["good"], Some(2000)).unwrap();
    trial.assert_whole();
}

#[test]
fn a_complete_part_needs_no_request() {
    let trial = Trial::new();
    trial.leave_part(&CONTENT);
    trial.run(&["good"], Some(2000)).unwrap();
    trial.assert_whole();
    assert!(trial.requests().is_empty());
}

#[test]
fn when_every_mirror_fails_each_is_named() {
    let trial = Trial::new();
    let message = trial.run(&["nothing", "wrong", "endless"], Some(2000)).unwrap_err().to_string();
    assert!(message.starts_with("cannot fetch f: "), "{message}");
    assert!(message.contains("/nothing/f: the server answered 404"), "{message}");
    assert!(message.contains("/wrong/f: SHA-256 checksum differs: expected"), "{message}");
    assert!(message.contains("/endless/f: sends more than the 2000 bytes"), "{message}");
    assert_eq!(std::fs::read_dir(trial.folder.path()).unwrap().count(), 0);
}

#[test]
fn a_set_in_place_needs_no_network_and_one_without_mirrors_says_so() {
    let data = tempfile::tempdir().unwrap();
    let mut silent = |_: Progress<'_>| {};
    assert!(fetch("glyphs", data.path(), &mut silent).unwrap().is_empty());
    let message = fetch("omniglot-rebuilt", data.path(), &mut silent).unwrap_err().to_string();
    assert!(
        message.starts_with("omniglot-rebuilt cannot be fetched: no address offers its files"),
        "{message}"
    );
    let folder = data.path().join("cifar-10");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["1", "2", "3", "4", "5"]
        .map(|i| format!("data_batch_{i}.bin"))
        .iter()
        .chain(["test_batch.bin".into()].iter())
    {
        std::fs::write(folder.join(name), [0; 3073]).unwrap();
    }
    assert!(fetch("cifar-10", data.path(), &mut silent).unwrap().is_empty());
}

#[test]
fn files_that_differ_are_fetched_again() {
    let trial = Trial::new();
    let known = registry::find("svhn").unwrap();
    let folder = trial.folder.path().join("svhn");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("train_32x32.mat"), b"not it").unwrap();
    let mirror = format!("{}/nothing/", trial.server.address);
    let failed = fetch_with(&plain_agent(), known, &[&mirror], trial.folder.path(), &mut |_| {});
    assert!(failed.unwrap_err().to_string().contains("train_32x32.mat: the server answered 404"));
    assert_eq!(std::fs::read(folder.join("train_32x32.mat")).unwrap(), b"not it");
}
