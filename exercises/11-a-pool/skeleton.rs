//! Exercise 11, chapter 5: A pool with a limit
//!
//! A pool hands out buffers by length and takes them back. All that it has obtained from the
//! system, in use or free, must stay within `limit` numbers. A request that would exceed it first
//! gives free buffers back to the system, and is refused only if that is not enough.

use std::collections::HashMap;

pub struct Pool {
    limit: usize,
    free: HashMap<usize, Vec<Vec<f32>>>,
    /// Numbers obtained from the system: in use and free.
    obtained: usize,
    /// Requests that the system had to serve.
    pub allocations: usize,
}

impl Pool {
    pub fn new(limit: usize) -> Self {
        Self { limit, free: HashMap::new(), obtained: 0, allocations: 0 }
    }

    /// Numbers obtained from the system.
    pub fn obtained(&self) -> usize {
        self.obtained
    }

    /// A buffer of `len` numbers with arbitrary contents, or `None` if there is no room.
    pub fn take(&mut self, len: usize) -> Option<Vec<f32>> {
        self.allocations += 1;
        Some(vec![0.0; len])
    }

    /// Takes a buffer back.
    pub fn give(&mut self, buffer: Vec<f32>) {
        drop(buffer);
    }
}
