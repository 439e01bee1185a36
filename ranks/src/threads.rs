//! Ranks that are threads of one process: what is tested of many ranks needs no library with them.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::{iter, process, thread};

use crate::{Error, Parts, PartsMut, Ranks, Result, Transport};

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
    let ranks = to.into_iter().zip(from).enumerate().map(|(rank, (to, from))| {
        Ranks::over(rank, size, Channels { rank, to, from: Mutex::new(from) })
    });
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
    /// What each rank sends to this one.
    fn receive(&self, receive: PartsMut<'_>) -> Result<()> {
        let from = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        for (rank, (from, part)) in from.iter().zip(receive.each()).enumerate() {
            let bytes = from.recv().map_err(|_| Error::Gone { rank, here: self.rank })?;
            if bytes.len() != part.len() {
                return Err(Error::Length { rank, found: bytes.len(), expected: part.len() });
            }
            part.copy_from_slice(&bytes);
        }
        Ok(())
    }

    fn send<'a>(&self, parts: impl Iterator<Item = &'a [u8]>) -> Result<()> {
        let mut to = self.to.iter().zip(parts).enumerate();
        to.try_for_each(|(rank, (to, part))| {
            to.send(part.to_vec()).map_err(|_| Error::Gone { rank, here: self.rank })
        })
    }
}

impl Transport for Channels {
    fn all_to_all(&self, send: Parts<'_>, receive: PartsMut<'_>) -> Result<()> {
        self.send(send.sent_by(self.rank, &receive))?;
        self.receive(receive)
    }

    fn all_gather(&self, send: &[u8], receive: PartsMut<'_>) -> Result<()> {
        self.send(iter::repeat(send))?;
        self.receive(receive)
    }

    fn abort(&self, exit_code: u8) -> ! {
        process::exit(exit_code.into())
    }
}
