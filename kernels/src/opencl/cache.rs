//! Compiled programs, and what searches have found, on disk. An entry holds the key it was made for
//! and a checksum, so that neither a collision of names nor damage goes unseen; whatever is wrong
//! with an entry, it is as if there were none.

use std::path::PathBuf;
use std::{env, fs, process};

/// The environment variable that names the folder; empty for no cache.
const VARIABLE: &str = "RUNG_OPENCL_CACHE";

/// First bytes of an entry.
const MAGIC: &[u8; 8] = b"rung-cl1";

/// Bytes before the key: magic, checksum of the rest, length of the key.
const HEADER: usize = 24;

/// The folder of the entries: as the user says, or where the system keeps caches.
fn folder() -> Option<PathBuf> {
    if let Some(folder) = env::var_os(VARIABLE) {
        return (!folder.is_empty()).then(|| PathBuf::from(folder));
    }
    let cache =
        env::var_os("XDG_CACHE_HOME").or_else(|| env::var_os("LOCALAPPDATA")).map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("rung").join("opencl"))
}

/// The 64-bit hash FNV-1a (Fowler, Noll, Vo): the same on every machine and with every compiler.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn path(key: &str) -> Option<PathBuf> {
    Some(folder()?.join(format!("{:016x}.bin", hash(key.as_bytes()))))
}

/// What was kept under a key; a damaged entry is reported and counts as none.
pub(super) fn read(key: &str) -> Option<Vec<u8>> {
    let path = path(key)?;
    let kept = decode(&fs::read(&path).ok()?, key);
    if kept.is_none() {
        eprintln!("opencl: {} in the cache is damaged and is made anew", path.display());
    }
    kept
}

/// Keeps a program; a disk that refuses costs a compilation later and nothing else. Written beside
/// and renamed, so that nobody reads half.
pub(super) fn write(key: &str, binary: &[u8]) {
    let Some(path) = path(key) else { return };
    let Some(folder) = path.parent() else { return };
    let beside = path.with_extension(format!("{}.tmp", process::id()));
    let written = fs::create_dir_all(folder)
        .and_then(|()| fs::write(&beside, encode(key, binary)))
        .and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        fs::remove_file(&beside).unwrap_or_default();
    }
}

fn encode(key: &str, binary: &[u8]) -> Vec<u8> {
    let mut rest = (key.len() as u64).to_le_bytes().to_vec();
    rest.extend_from_slice(key.as_bytes());
    rest.extend_from_slice(binary);
    let mut entry = MAGIC.to_vec();
    entry.extend_from_slice(&hash(&rest).to_le_bytes());
    entry.extend_from_slice(&rest);
    entry
}

fn decode(entry: &[u8], key: &str) -> Option<Vec<u8>> {
    let number = |at: usize| Some(u64::from_le_bytes(entry.get(at..at + 8)?.try_into().ok()?));
    let is_whole = entry.starts_with(MAGIC) && number(8)? == hash(entry.get(16..)?);
    let key_len = usize::try_from(number(16)?).ok()?;
    let end = HEADER.checked_add(key_len)?;
    (is_whole && entry.get(HEADER..end)? == key.as_bytes()).then(|| entry[end..].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_under_its_key_alone() {
        let entry = encode("device, driver, source", &[1, 2, 3]);
        assert_eq!(decode(&entry, "device, driver, source"), Some(vec![1, 2, 3]));
        assert_eq!(decode(&entry, "device, driver, sourcf"), None);
        assert_eq!(decode(&encode("", &[]), ""), Some(vec![]));
    }

    #[test]
    fn any_damaged_byte_and_any_missing_end_is_seen() {
        let entry = encode("key", &[7; 40]);
        for at in 0..entry.len() {
            let mut damaged = entry.clone();
            damaged[at] ^= 0x10;
            assert_eq!(decode(&damaged, "key"), None, "byte {at}");
            assert_eq!(decode(&entry[..at], "key"), None, "{at} bytes");
        }
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
