//! What a library has to offer for ranks to work together.

use std::fmt::Debug;
use std::process;

use crate::{Error, Result};

/// Moves bytes between ranks. Every method must be called by all ranks, in the same order, and by
/// one thread of each at a time.
pub trait Transport: Debug + Send + Sync {
    /// Which rank this is, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn size(&self) -> usize;

    /// Sends the r-th of the parts of `send`, `send_lengths[r]` bytes, to rank r; what rank r sent
    /// is the r-th of the parts of `receive`.
    ///
    /// # Errors
    /// If another rank has ended.
    fn all_to_all(
        &self,
        send: &[u8],
        send_lengths: &[usize],
        receive: &mut [u8],
        receive_lengths: &[usize],
    ) -> Result<()>;

    /// Sends `send` to all; what rank r sent, `lengths[r]` bytes, is the r-th part of `receive`.
    ///
    /// # Errors
    /// If another rank has ended.
    fn all_gather(&self, send: &[u8], receive: &mut [u8], lengths: &[usize]) -> Result<()>;

    /// Ends all ranks at once, with this exit code.
    fn abort(&self, exit_code: u8) -> !;
}

/// The transport of a single rank.
#[derive(Debug)]
pub(crate) struct Alone;

/// The only rank hears itself.
fn echo(send: &[u8], receive: &mut [u8]) -> Result<()> {
    if send.len() != receive.len() {
        return Err(Error::Length { rank: 0, found: send.len(), expected: receive.len() });
    }
    receive.copy_from_slice(send);
    Ok(())
}

impl Transport for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_to_all(
        &self,
        send: &[u8],
        _send_lengths: &[usize],
        receive: &mut [u8],
        _receive_lengths: &[usize],
    ) -> Result<()> {
        echo(send, receive)
    }

    fn all_gather(&self, send: &[u8], receive: &mut [u8], _lengths: &[usize]) -> Result<()> {
        echo(send, receive)
    }

    fn abort(&self, exit_code: u8) -> ! {
        process::exit(exit_code.into())
    }
}
