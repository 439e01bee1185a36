//! Downloads: from one mirror after the other, resumed where they were cut, checked before they
//! count.
//!
//! A file is written under its name with `.part` behind it and gets its own name only when it is
//! complete and its checksum is right. What is left of a broken download stays as `.part`, and the
//! next attempt asks for the rest (`Range`); a server that sends everything all the same is taken
//! at its word.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::Agent;

use crate::registry::{self, Known, KnownFile, Presence};
use crate::source::impostor_in;
use crate::{Checksum, Error, Result};

/// A server that is silent for so long is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often one mirror is asked, as long as each answer brings more bytes.
const ATTEMPTS_PER_MIRROR: usize = 4;
/// No file of a data set is larger; a server that sends more than this without having said so is
/// cut off.
const MOST_BYTES: u64 = 1 << 34;

/// How far a download is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The file's published name.
    pub file: &'a str,
    /// Where it comes from.
    pub url: &'a str,
    /// Bytes that are on the disk, those of an earlier attempt included.
    pub bytes_done: u64,
    /// Bytes of the whole file, if published or said by the server.
    pub bytes_total: Option<u64>,
}

/// Fetches the files of a known data set that are not in place; gives the paths of those it
/// fetched.
///
/// They go where the others already lie, or else into `data_dir/NAME`.
/// If the set is complete and its files are the published ones, the network is not touched. A file
/// with another checksum is fetched anew and replaced. `on_progress` is called for each piece of at
/// most 64 KiB.
///
/// # Errors
/// [`Error::UnknownName`]; [`Error::NoDownload`] for a set that nobody publishes;
/// [`Error::Download`] with what each mirror answered; [`Error::Io`].
pub fn fetch(
    name: &str,
    data_dir: &Path,
    on_progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<PathBuf>> {
    let known = registry::find(name)?;
    fetch_with(&agent(), known, known.mirrors, data_dir, on_progress)
}

fn fetch_with(
    agent: &Agent,
    known: &'static Known,
    mirrors: &[&str],
    data_dir: &Path,
    on_progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<PathBuf>> {
    let reports = registry::verify(known.name, data_dir)?;
    let status =
        registry::status(data_dir).into_iter().find(|status| status.known.name == known.name);
    let in_place = status
        .as_ref()
        .is_some_and(|s| matches!(s.presence, Presence::Complete | Presence::BuiltIn));
    if in_place && reports.iter().all(|report| report.outcome.is_fine()) {
        return Ok(Vec::new());
    }
    let offered = known.files.iter().filter(|file| file.download.is_some());
    let fine =
        |file: &KnownFile| reports.iter().any(|r| r.file == file.name && r.outcome.is_fine());
    let wanted: Vec<&KnownFile> = offered.filter(|file| !fine(file)).collect();
    if wanted.is_empty() || mirrors.is_empty() {
        let why = format!(
            "no address offers its files; see {} and put them in {}",
            known.home,
            data_dir.join(known.name).display()
        );
        return Err(Error::NoDownload { name: known.name.to_string(), why });
    }
    // What is there already stays together with what comes.
    let folder =
        status.and_then(|status| status.folder).unwrap_or_else(|| data_dir.join(known.name));
    std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    let mut fetched = Vec::new();
    for download in wanted.iter().filter_map(|file| file.download) {
        let urls: Vec<String> =
            mirrors.iter().map(|mirror| format!("{mirror}{}", download.name)).collect();
        let job = Job {
            agent,
            file: download.name,
            destination: folder.join(download.name),
            bytes: download.bytes,
            checksum: download.checksum,
        };
        job.run(&urls, on_progress)?;
        fetched.push(job.destination);
    }
    Ok(fetched)
}

fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .user_agent(concat!("rung/", env!("CARGO_PKG_VERSION")));
    config.build().into()
}

/// One file to be fetched.
struct Job<'a> {
    agent: &'a Agent,
    file: &'a str,
    destination: PathBuf,
    bytes: Option<u64>,
    checksum: Option<Checksum>,
}

/// Why an attempt failed, and whether there is sense in asking the same mirror again.
struct Failure {
    why: String,
    again: bool,
}

impl Failure {
    fn final_word(why: impl ToString) -> Self {
        Self { why: why.to_string(), again: false }
    }
}

impl Job<'_> {
    fn run(&self, urls: &[String], on_progress: &mut dyn FnMut(Progress<'_>)) -> Result<()> {
        let mut attempts = Vec::new();
        for url in urls {
            for _ in 0..ATTEMPTS_PER_MIRROR {
                let failure = match self.attempt(url, on_progress)? {
                    Ok(()) => return Ok(()),
                    Err(failure) => failure,
                };
                attempts.push(format!("{url}: {}", failure.why));
                if !failure.again {
                    break;
                }
            }
        }
        Err(Error::Download { file: self.file.to_string(), attempts })
    }

    /// One request. The outer error is about this machine's disk, which no mirror can mend.
    fn attempt(
        &self,
        url: &str,
        on_progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<std::result::Result<(), Failure>> {
        let part = self.part();
        let start = part.metadata().map_or(0, |metadata| metadata.len());
        let done = if self.bytes == Some(start) {
            Ok(start)
        } else {
            self.transfer(url, start, on_progress)?
        };
        let done = match done {
            Ok(done) => done,
            Err(failure) => return Ok(Err(failure)),
        };
        if let Some(bytes) = self.bytes.filter(|&bytes| bytes != done) {
            let why = format!("{done} bytes came, {bytes} were published");
            std::fs::remove_file(&part).map_err(Error::io("remove", &part))?;
            return Ok(Err(Failure { why, again: start > 0 }));
        }
        if let Some(checksum) = self.checksum {
            let found = checksum.of_file(&part, false)?;
            if found != checksum.digits() {
                std::fs::remove_file(&part).map_err(Error::io("remove", &part))?;
                let (algorithm, expected) = (checksum.algorithm(), checksum.digits());
                let why =
                    format!("{algorithm} checksum differs: expected {expected}, found {found}");
                // The fault may lie in what an earlier attempt had left: once more from the start.
                return Ok(Err(Failure { why, again: start > 0 }));
            }
        }
        if let Some(what) = impostor_in(&part) {
            std::fs::remove_file(&part).map_err(Error::io("remove", &part))?;
            return Ok(Err(Failure::final_word(format!("what came is {what}"))));
        }
        std::fs::rename(&part, &self.destination)
            .map_err(Error::io("rename to", &self.destination))?;
        Ok(Ok(()))
    }

    fn part(&self) -> PathBuf {
        let mut name = self.destination.clone().into_os_string();
        name.push(".part");
        name.into()
    }

    /// Asks for the bytes from `start` on and writes what comes; gives the size of the file then.
    fn transfer(
        &self,
        url: &str,
        start: u64,
        on_progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<std::result::Result<u64, Failure>> {
        let part = self.part();
        let mut request = self.agent.get(url);
        if start > 0 {
            request = request.header("Range", format!("bytes={start}-"));
        }
        let response = match request.call() {
            Ok(response) => response,
            Err(error) => return Ok(Err(Failure::final_word(error))),
        };
        let header =
            |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let resumes = header("content-range")
            .is_some_and(|range| range.starts_with(&format!("bytes {start}-")));
        let start = match response.status().as_u16() {
            200 => 0,
            206 if resumes => start,
            416 | 206 if start > 0 => {
                std::fs::remove_file(&part).map_err(Error::io("remove", &part))?;
                return Ok(Err(Failure {
                    why: "the server cannot resume there".into(),
                    again: true,
                }));
            }
            status => {
                return Ok(Err(Failure::final_word(format!("the server answered {status}"))));
            }
        };
        let coming = header("content-length").and_then(|length| length.parse::<u64>().ok());
        let total = self.bytes.or(coming.map(|coming| coming.saturating_add(start)));
        let mut options = OpenOptions::new();
        let options = if start > 0 {
            options.append(true)
        } else {
            options.write(true).create(true).truncate(true)
        };
        let file = options.open(&part).map_err(Error::io("write", &part))?;
        let body = response.into_body().into_reader();
        let progress = Progress { file: self.file, url, bytes_done: start, bytes_total: total };
        copy(body, file, &part, progress, on_progress)
    }
}

/// Copies a body to the disk; the size of the file when the body ended, or why it broke off.
fn copy(
    mut body: impl Read,
    mut file: File,
    part: &Path,
    mut progress: Progress<'_>,
    on_progress: &mut dyn FnMut(Progress<'_>),
) -> Result<std::result::Result<u64, Failure>> {
    let (start, most) = (progress.bytes_done, progress.bytes_total.unwrap_or(MOST_BYTES));
    let mut buffer = vec![0; 1 << 16];
    on_progress(progress);
    loop {
        let read = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => {
                let why = format!("broke off after {} bytes: {error}", progress.bytes_done);
                return Ok(Err(Failure { why, again: progress.bytes_done > start }));
            }
        };
        if progress.bytes_done + read as u64 > most {
            drop(file);
            std::fs::remove_file(part).map_err(Error::io("remove", part))?;
            return Ok(Err(Failure::final_word(format!(
                "sends more than the {most} bytes of the file"
            ))));
        }
        file.write_all(&buffer[..read]).map_err(Error::io("write", part))?;
        progress.bytes_done += read as u64;
        on_progress(progress);
    }
    if let Some(total) = progress.bytes_total.filter(|&total| progress.bytes_done < total) {
        let why = format!("broke off after {} of {total} bytes", progress.bytes_done);
        return Ok(Err(Failure { why, again: progress.bytes_done > start }));
    }
    file.sync_all().map_err(Error::io("write", part))?;
    Ok(Ok(progress.bytes_done))
}

#[cfg(test)]
#[path = "fetch/tests.rs"]
mod tests;
