//! What a library has to offer for ranks to work together.

use std::fmt::Debug;

use crate::Result;

/// Moves bytes between ranks. Every method must be called by all ranks, in the same order, and by
/// one thread of each at a time.
pub trait Transport: Debug + Send + Sync {
    /// Sends part r of `send` to rank r; what rank r sent becomes part r of `receive`. A rank's
    /// part for itself is moved only if `receive` has room for it.
    ///
    /// # Errors
    /// If another rank has ended.
    fn all_to_all(&self, send: Parts<'_>, receive: PartsMut<'_>) -> Result<()>;

    /// Sends `send` to all; what rank r sent becomes part r of `receive`.
    ///
    /// # Errors
    /// If another rank has ended.
    fn all_gather(&self, send: &[u8], receive: PartsMut<'_>) -> Result<()>;

    /// Ends all ranks at once, with this exit code.
    fn abort(&self, exit_code: u8) -> !;
}

/// Bytes that consist of a part for each rank, end to end.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// All of them.
    pub bytes: &'a [u8],
    /// The bytes of each part.
    pub lengths: &'a [usize],
}

/// The same, to be filled.
#[derive(Debug)]
pub struct PartsMut<'a> {
    /// All of them.
    pub bytes: &'a mut [u8],
    /// The bytes of each part.
    pub lengths: &'a [usize],
}

impl<'a> Parts<'a> {
    /// Each part, in the order of the ranks.
    pub(crate) fn each(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.bytes;
        self.lengths.iter().map(move |&length| rest.split_off(..length).unwrap_or_default())
    }

    /// Each part, that of a rank itself empty unless `receive` has room for it.
    pub(crate) fn sent_by(
        self,
        rank: usize,
        receive: &PartsMut<'_>,
    ) -> impl Iterator<Item = &'a [u8]> {
        let stays = receive.lengths[rank] == 0;
        self.each().enumerate().map(move |(to, part)| if stays && to == rank { &[] } else { part })
    }
}

impl<'a> PartsMut<'a> {
    /// Each part, in the order of the ranks.
    pub(crate) fn each(self) -> impl Iterator<Item = &'a mut [u8]> {
        let mut rest = self.bytes;
        self.lengths.iter().map(move |&length| rest.split_off_mut(..length).unwrap_or_default())
    }
}
