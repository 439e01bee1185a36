//! What the ranks of a training agree on: the mean loss, whether to stop, what went wrong, and that
//! all have the same parameters and statistics.

use bytemuck::Pod;
use rung_autograd::ops::FrozenStatistics;
use rung_autograd::{ParameterStore, Tensor, View, ViewMut};
use rung_kernels::DType;
use rung_models::{BatchShare, Statistics};
use rung_ranks::Ranks;

use crate::error::{Context, Error, Result};
use crate::model::Model;
use crate::tasks::Loss;

/// What ranks do that fails when one of them has ended.
const TOGETHER: &str = "working together";

/// The loss of the whole batch and its terms, off the tape, from each rank's means over its share:
/// Σ rows/of · mean, in ascending order of the ranks.
///
/// # Errors
/// If the device fails, or another rank has ended.
pub(super) fn mean_of_all(share: &BatchShare, mine: &Loss) -> Result<Loss> {
    if !share.ranks.are_many() {
        return Ok(mine.clone());
    }
    let scalars = || std::iter::once(&mine.loss).chain(&mine.terms);
    let weighed = |scalar: &Tensor| Ok(scalar.to_scalar()? * share.weight());
    let weighed: rung_autograd::Result<Vec<f64>> = scalars().map(weighed).collect();
    let weighed = weighed.context("reading the loss")?;
    let all = share.ranks.gather_numbers(&weighed).context(TOGETHER)?;
    let mean = |index: usize| all.chunks_exact(weighed.len()).map(|of_rank| of_rank[index]).sum();
    let tensor = |(index, scalar): (usize, &Tensor)| {
        Tensor::full(scalar.device(), scalar.dtype(), mean(index), *scalar.shape())
    };
    let means: rung_autograd::Result<Vec<Tensor>> = scalars().enumerate().map(tensor).collect();
    let mut means = means.context("noting the loss")?.into_iter();
    let loss = means.next().ok_or_else(|| Error::new("bug: no loss; please report it"))?;
    Ok(Loss { loss, terms: means.collect() })
}

/// Whether any rank is asked to stop; all hear the same.
///
/// # Errors
/// If another rank has ended.
pub(crate) fn any(ranks: &Ranks, mine: bool) -> Result<bool> {
    ranks.any(mine).context(TOGETHER)
}

/// The values of all ranks end to end, in their order, on each of them.
///
/// # Errors
/// If another rank has ended.
pub(crate) fn joined<T: Pod>(ranks: &Ranks, mine: Vec<T>) -> Result<Vec<T>> {
    ranks.join(mine).context(TOGETHER)
}

/// The same on rank 0 alone; the others get nothing.
///
/// # Errors
/// If another rank has ended.
pub(crate) fn joined_on_first<T: Pod>(ranks: &Ranks, mine: Vec<T>) -> Result<Vec<T>> {
    ranks.join_on_first(mine).context(TOGETHER)
}

/// Each value summed over the ranks, in ascending order of them.
///
/// # Errors
/// If another rank has ended.
pub(crate) fn sum(ranks: &Ranks, mut mine: Vec<f64>) -> Result<Vec<f64>> {
    ranks.sum(&mut mine).context(TOGETHER)?;
    Ok(mine)
}

/// What the first rank says that has something to say.
///
/// # Errors
/// If another rank has ended.
pub(crate) fn first_word(ranks: &Ranks, mine: Option<String>) -> Result<Option<String>> {
    if !ranks.are_many() {
        return Ok(mine);
    }
    let said = ranks.gather(mine.unwrap_or_default().as_bytes()).context(TOGETHER)?;
    let word = said.into_iter().find(|word| !word.is_empty());
    Ok(word.map(|word| String::from_utf8_lossy(&word).into_owned()))
}

/// Refuses to go on if a rank has other parameters or running statistics than rank 0: a computer
/// that computes otherwise, or files that are not the same everywhere.
///
/// # Errors
/// If they differ, or another rank has ended.
pub(super) fn check_same_model(model: &Model) -> Result<()> {
    let Model { ranks, store, statistics, .. } = model;
    if !ranks.are_many() {
        return Ok(());
    }
    let mine = checksum(store, statistics).context("reading the parameters")?;
    let all = ranks.gather_numbers(&[mine]).context(TOGETHER)?;
    match all.iter().position(|&other| other != all[0]) {
        None => Ok(()),
        Some(rank) => Err(Error::new(format!(
            "rank {rank} has other parameters or batch-norm statistics than rank 0 (checksums \
            {:08x} and {:08x})",
            all[rank], all[0]
        ))
        .with_advice(
            "give all ranks the same program, files and kind of device; with equal ones, this is a \
            fault of the hardware or a bug",
        )),
    }
}

/// CRC-32C of the parameters' bytes, and then of the statistics' as f64.
fn checksum(store: &ParameterStore, statistics: &Statistics) -> rung_autograd::Result<u32> {
    let mut sum = match store.values() {
        View::F32(values) => crc32c::crc32c(bytemuck::cast_slice(values)),
        View::F64(values) => crc32c::crc32c(bytemuck::cast_slice(values)),
        values if values.dtype() == DType::F32 => {
            let mut host = vec![0f32; values.len()];
            store.device().download(values, ViewMut::F32(&mut host))?;
            crc32c::crc32c(bytemuck::cast_slice(&host))
        }
        values => {
            let mut host = vec![0f64; values.len()];
            store.device().download(values, ViewMut::F64(&mut host))?;
            crc32c::crc32c(bytemuck::cast_slice(&host))
        }
    };
    for (_, FrozenStatistics { mean, variance }) in statistics.iter() {
        for values in [mean, variance] {
            sum = crc32c::crc32c_append(sum, bytemuck::cast_slice(&values.to_f64()?));
        }
    }
    Ok(sum)
}
