//! Logical ranks: as many as one likes in each process, so that what depends on how many ranks
//! there are need not depend on how many processes.

use std::iter;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::{Error, Parts, PartsMut, Ranks, Result, Transport};

impl Ranks {
    /// Does `work` on `count` logical ranks, of which each of these has as many, on a thread for
    /// each; what each of its own returned, in their order. Logical ranks with equal numbers do
    /// the same, whoever has them.
    ///
    /// ```
    /// use rung_ranks::{Ranks, threads};
    ///
    /// let sum = |ranks: Ranks| {
    ///     let mut values = [1.0 / (ranks.rank() + 1) as f32];
    ///     ranks.sum(&mut values).unwrap();
    ///     values[0].to_bits()
    /// };
    /// let alone = Ranks::one().on_logical(4, sum).unwrap();
    /// let two = threads::on_each(2, |ranks| ranks.on_logical(4, sum).unwrap());
    /// assert_eq!(alone, two.concat());
    /// ```
    ///
    /// # Errors
    /// `Uneven` if they can't be shared alike.
    ///
    /// # Panics
    /// If `work` does.
    pub fn on_logical<R: Send>(
        &self,
        count: usize,
        work: impl Fn(Self) -> R + Sync,
    ) -> Result<Vec<R>> {
        let size = self.size();
        if count == size {
            return Ok(vec![work(self.clone())]);
        }
        if count == 0 || !count.is_multiple_of(size) {
            return Err(Error::Uneven { count, size });
        }
        let each = count / size;
        let state = State {
            brought: iter::repeat_with(|| None).take(each).collect(),
            found: iter::repeat_with(|| None).take(each).collect(),
            gone: None,
        };
        let meeting = Arc::new(Meeting {
            processes: self.clone(),
            each,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let ranks: Vec<Self> = (0..each)
            .map(|place| {
                let logical = Logical { place, meeting: Arc::clone(&meeting) };
                Self::over(logical.rank(), count, logical)
            })
            .collect();
        Ok(thread::scope(|scope| {
            let work = &work;
            let running: Vec<_> =
                ranks.into_iter().map(|ranks| scope.spawn(move || work(ranks))).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, R>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            running.into_iter().map(join).collect()
        }))
    }
}

/// Where the logical ranks of a process meet: the last to come exchanges for all of them.
#[derive(Debug)]
struct Meeting {
    processes: Ranks,
    /// Logical ranks of a process.
    each: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// What each logical rank here brings to the exchange at hand.
    brought: Vec<Option<Brought>>,
    /// What each has not taken yet of the one before.
    found: Vec<Option<Result<Arc<Vec<u8>>>>>,
    /// The logical rank that has ended.
    gone: Option<usize>,
}

/// What a logical rank sends, and how much it is to hear from each.
#[derive(Debug)]
struct Brought {
    send: Vec<u8>,
    /// The bytes for each logical rank; `None` where all of `send` is for all.
    lengths: Option<Vec<usize>>,
    expected: Vec<usize>,
}

/// One logical rank.
#[derive(Debug)]
struct Logical {
    /// Its number among those of the process.
    place: usize,
    meeting: Arc<Meeting>,
}

impl Logical {
    fn rank(&self) -> usize {
        self.meeting.processes.rank() * self.meeting.each + self.place
    }

    /// What was found, into its place.
    fn copy(&self, found: &[u8], receive: PartsMut<'_>) -> Result<()> {
        let (rank, expected) = (self.rank(), receive.bytes.len());
        if found.len() != expected {
            return Err(Error::Length { rank, found: found.len(), expected });
        }
        receive.bytes.copy_from_slice(found);
        Ok(())
    }

    /// Brings something, and takes what this rank is sent, once all of this process have come.
    fn meet(&self, mine: Brought) -> Result<Arc<Vec<u8>>> {
        let meeting = &*self.meeting;
        let mut state = meeting.lock();
        state.brought[self.place] = Some(mine);
        if state.brought.iter().all(Option::is_some) {
            let brought: Vec<Brought> = state.brought.iter_mut().filter_map(Option::take).collect();
            state.found = match meeting.exchange(&brought) {
                Ok(found) => found.into_iter().map(|found| Some(Ok(found))).collect(),
                Err(error) => iter::repeat_n(Some(Err(error)), meeting.each).collect(),
            };
            meeting.changed.notify_all();
        }
        loop {
            if let Some(found) = state.found[self.place].take() {
                return found;
            }
            if let Some(rank) = state.gone {
                return Err(Error::Gone { rank, here: self.rank() });
            }
            state = meeting.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Logical {
    fn drop(&mut self) {
        self.meeting.lock().gone.get_or_insert(self.rank());
        self.meeting.changed.notify_all();
    }
}

impl Meeting {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What each logical rank here is sent.
    fn exchange(&self, brought: &[Brought]) -> Result<Vec<Arc<Vec<u8>>>> {
        match brought.iter().map(|one| one.lengths.as_deref()).collect::<Option<Vec<_>>>() {
            Some(lengths) => self.all_to_all(brought, &lengths),
            None => self.all_gather(brought),
        }
    }

    fn all_gather(&self, brought: &[Brought]) -> Result<Vec<Arc<Vec<u8>>>> {
        let mine: Vec<u8> = brought.iter().flat_map(|one| one.send.iter().copied()).collect();
        let of_process = |lengths: &[usize]| lengths.iter().sum();
        let lengths: Vec<usize> =
            brought[0].expected.chunks_exact(self.each).map(of_process).collect();
        let all = Arc::new(self.processes.joined(&mine, &lengths)?);
        Ok(vec![all; self.each])
    }

    /// Between processes go the parts of each logical rank of the one for each of the other.
    fn all_to_all(&self, brought: &[Brought], lengths: &[&[usize]]) -> Result<Vec<Arc<Vec<u8>>>> {
        let size = self.processes.size();
        let parts: Vec<Vec<&[u8]>> = (brought.iter().zip(lengths))
            .map(|(one, lengths)| Parts { bytes: &one.send, lengths }.each().collect())
            .collect();
        let (mut send, mut sent) = (Vec::new(), vec![0; size]);
        for (process, sent) in sent.iter_mut().enumerate() {
            let theirs = process * self.each..(process + 1) * self.each;
            let before = send.len();
            parts
                .iter()
                .flat_map(|parts| &parts[theirs.clone()])
                .for_each(|part| send.extend(*part));
            *sent = send.len() - before;
        }
        // From each logical rank in turn what it has for each of ours.
        let senders = 0..size * self.each;
        let each: Vec<usize> =
            senders.flat_map(|from| brought.iter().map(move |one| one.expected[from])).collect();
        let expected: Vec<usize> =
            each.chunks_exact(self.each * self.each).map(|each| each.iter().sum()).collect();
        let received =
            self.processes.exchanged(Parts { bytes: &send, lengths: &sent }, &expected)?;
        let mut found: Vec<Vec<u8>> = vec![Vec::new(); self.each];
        for (number, part) in (Parts { bytes: &received, lengths: &each }).each().enumerate() {
            found[number % self.each].extend_from_slice(part);
        }
        Ok(found.into_iter().map(Arc::new).collect())
    }
}

impl Transport for Logical {
    fn all_to_all(&self, send: Parts<'_>, receive: PartsMut<'_>) -> Result<()> {
        let parts: Vec<&[u8]> = send.sent_by(self.rank(), &receive).collect();
        let lengths = Some(parts.iter().map(|part| part.len()).collect());
        let expected = receive.lengths.to_vec();
        let found = self.meet(Brought { send: parts.concat(), lengths, expected })?;
        self.copy(&found, receive)
    }

    fn all_gather(&self, send: &[u8], receive: PartsMut<'_>) -> Result<()> {
        let expected = receive.lengths.to_vec();
        let found = self.meet(Brought { send: send.to_vec(), lengths: None, expected })?;
        self.copy(&found, receive)
    }

    fn abort(&self, exit_code: u8) -> ! {
        self.meeting.processes.abort(exit_code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads;

    /// The bytes that a rank hears in every exchange.
    fn heard(ranks: Ranks) -> Vec<Vec<u8>> {
        let rank = ranks.rank();
        let mut sums: Vec<f32> = (0..37).map(|i| 1.0 / (1 + 5 * rank + i) as f32).collect();
        ranks.sum(&mut sums).unwrap();
        let some: Vec<u16> = (0..rank as u16 % 3).map(|i| 10 * rank as u16 + i).collect();
        let mut heard = ranks.gather(&vec![rank as u8; rank % 4]).unwrap();
        heard.push(bytemuck::cast_slice(&sums).to_vec());
        heard.push(bytemuck::cast_slice(&ranks.join(some.clone()).unwrap()).to_vec());
        heard.push(bytemuck::cast_slice(&ranks.join_on_first(some).unwrap()).to_vec());
        heard.push(ranks.from_first(&[7, rank as u8]).unwrap());
        heard.push(vec![u8::from(ranks.any(rank == 5).unwrap())]);
        heard
    }

    #[test]
    fn logical_ranks_hear_what_as_many_ranks_do() {
        let expected = threads::on_each(8, heard);
        for size in [1, 2, 4, 8] {
            let found = threads::on_each(size, |ranks| ranks.on_logical(8, heard).unwrap());
            assert_eq!(found.concat(), expected, "{size} ranks");
        }
    }

    #[test]
    fn a_logical_rank_that_ends_is_an_error_for_those_that_wait() {
        let work = |ranks: Ranks| match ranks.rank() {
            2 => None,
            _ => Some(ranks.sum(&mut [1.0f32; 8]).unwrap_err().to_string()),
        };
        let ends = Ranks::one().on_logical(3, work).unwrap();
        assert_eq!(ends[0].as_deref(), Some("rank 2 has ended while rank 0 waited for it"));
        assert!(ends[1].is_some() && ends[2].is_none());
    }

    #[test]
    fn what_can_not_be_shared_alike_is_refused() {
        let error = threads::on_each(3, |ranks| ranks.on_logical(8, drop).unwrap_err().to_string());
        assert_eq!(error[0], "8 logical ranks can't be shared by 3 ranks alike");
        assert!(Ranks::one().on_logical(0, drop).is_err());
    }
}
