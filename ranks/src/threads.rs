//! Ranks that are threads of one process: what is tested of many ranks needs no library with them.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::{process, thread};

use crate::{Error, Ranks, Result, Transport};

/// One rank's ends of the channels between every two ranks.
#[derive(Debug)]
struct Channels {
    rank: usize,
    to: Vec<Sender<Vec<u8>>>,
    /// By sender. A receiver may not be shared, but is used by one thread at a time.
    from: Mutex<Vec<Receiver<Vec<u8>>>>,
}

/// Does `work` on `size` ranks, each on a thread of its own; what each returned, in their order.
///
/// # Panics
/// If `work` does.
pub fn on_each<R: Send>(size: usize, work: impl Fn(Ranks) -> R + Sync) -> Vec<R> {
    let mut to: Vec<Vec<Sender<Vec<u8>>>> = (0..size).map(|_| Vec::new()).collect();
    let from: Vec<Vec<Receiver<Vec<u8>>>> = (0..size)
        .map(|_| {
            let connect = |to: &mut Vec<Sender<Vec<u8>>>| {
                let (sender, receiver) = channel();
                to.push(sender);
                receiver
            };
            to.iter_mut().map(connect).collect()
        })
        .collect();
    let ranks = to
        .into_iter()
        .zip(from)
        .enumerate()
        .map(|(rank, (to, from))| Ranks::over(Channels { rank, to, from: Mutex::new(from) }));
    let ranks: Vec<Ranks> = ranks.collect();
    thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> =
            ranks.into_iter().map(|ranks| scope.spawn(move || work(ranks))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, R>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().map(join).collect()
    })
}

impl Channels {
    /// What each rank sends to this one, into the parts of `receive`.
    fn receive(&self, receive: &mut [u8], lengths: &[usize]) -> Result<()> {
        let from = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = receive;
        for (rank, (from, &expected)) in from.iter().zip(lengths).enumerate() {
            let bytes = from.recv().map_err(|_| Error::Gone { rank, here: self.rank })?;
            let part = rest.split_off_mut(..expected).filter(|part| part.len() == bytes.len());
            let Some(part) = part else {
                return Err(Error::Length { rank, found: bytes.len(), expected });
            };
            part.copy_from_slice(&bytes);
        }
        Ok(())
    }
}

impl Transport for Channels {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn all_to_all(
        &self,
        send: &[u8],
        send_lengths: &[usize],
        receive: &mut [u8],
        receive_lengths: &[usize],
    ) -> Result<()> {
        let mut rest = send;
        for (rank, (to, &length)) in self.to.iter().zip(send_lengths).enumerate() {
            let part = rest.split_off(..length).unwrap_or(&[]);
            to.send(part.to_vec()).map_err(|_| Error::Gone { rank, here: self.rank })?;
        }
        self.receive(receive, receive_lengths)
    }

    fn all_gather(&self, send: &[u8], receive: &mut [u8], lengths: &[usize]) -> Result<()> {
        for (rank, to) in self.to.iter().enumerate() {
            to.send(send.to_vec()).map_err(|_| Error::Gone { rank, here: self.rank })?;
        }
        self.receive(receive, lengths)
    }

    fn abort(&self, exit_code: u8) -> ! {
        process::exit(exit_code.into())
    }
}
